"""Tables as the statements that make them again before the data: sequences, tables, partitions, defaults, comments.
Indexes and constraints are objects_after.py's, but for the primary key and the index that rows are named by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdcd.model.schema import Statement
from cdcd.model.table import Column, Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import qualified, quote_identifier
from connectors.postgres.objects_types import comment_on, schema_statement

_COLUMNS = """
SELECT a.attrelid::int8, a.attname, a.attgenerated::text, d.description, e.oid::int8,
       (SELECT k.conname FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
                                                AND k.conkey = ARRAY[a.attnum]),
       (SELECT to_jsonb(q) || jsonb_build_object('schema', n.nspname, 'name', s.relname)
        FROM pg_depend p JOIN pg_class s ON s.oid = p.objid AND s.relkind = 'S'
        JOIN pg_namespace n ON n.oid = s.relnamespace JOIN pg_sequence q ON q.seqrelid = s.oid
        WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.deptype = 'i'
          AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum LIMIT 1)
FROM pg_attribute a LEFT JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = a.attrelid AND d.objsubid = a.attnum
WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
"""

_TABLES = """
SELECT c.oid::int8, CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, d.description,
       (SELECT ARRAY[k.conname::text, pg_get_constraintdef(k.oid)] FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'p'),
       (SELECT to_jsonb(k) ->> 'conperiod' FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p')
FROM pg_class c LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
WHERE c.oid = ANY (%s::oid[])
"""

# A partition's default that is its own, and not its root's.
_PARTITIONS = """
SELECT t.root::int8, c.oid::int8, n.nspname, c.relname, t.parent::regclass::text,
       pg_get_expr(c.relpartbound, c.oid), CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, d.description,
       ARRAY(SELECT ARRAY[a.attname::text, pg_get_expr(e.adbin, e.adrelid)]
             FROM pg_attrdef e JOIN pg_attribute a ON a.attrelid = e.adrelid AND a.attnum = e.adnum
             LEFT JOIN pg_attribute u ON u.attrelid = t.parent AND u.attname = a.attname
             LEFT JOIN pg_attrdef f ON f.adrelid = u.attrelid AND f.adnum = u.attnum
             WHERE e.adrelid = c.oid AND a.attgenerated = '' AND a.attidentity = ''
               AND pg_get_expr(e.adbin, e.adrelid) IS DISTINCT FROM pg_get_expr(f.adbin, f.adrelid) ORDER BY 1),
       ARRAY(SELECT u.attname::text
             FROM pg_attribute u JOIN pg_attrdef f ON f.adrelid = u.attrelid AND f.adnum = u.attnum
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = u.attname
             WHERE u.attrelid = t.parent AND u.attgenerated = '' AND NOT a.atthasdef ORDER BY 1)
FROM (SELECT r.root, p.relid AS leaf, p.parentrelid AS parent, p.level FROM unnest(%s::oid[]) r (root),
             LATERAL pg_partition_tree(r.root) p WHERE p.level > 0) t
JOIN pg_class c ON c.oid = t.leaf JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
WHERE c.relkind IN ('r', 'p')
ORDER BY t.root, t.level, n.nspname, c.relname
"""

# Owned by a column, or free and used by a default; identity columns bring theirs along.
_SEQUENCES = """
SELECT n.nspname, s.relname, to_jsonb(q), format_type(q.seqtypid, NULL), d.description, t.oid::int8, a.attname
FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace JOIN pg_sequence q ON q.seqrelid = s.oid
LEFT JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = s.oid AND o.deptype = 'a'
                     AND o.refclassid = 'pg_class'::regclass
LEFT JOIN pg_class t ON t.oid = o.refobjid AND t.oid = ANY (%(relations)s::oid[])
LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = o.refobjsubid
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = s.oid AND d.objsubid = 0
WHERE s.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_class'::regclass AND i.objid = s.oid
                                                                AND i.deptype IN ('i', 'e'))
  AND (t.oid IS NOT NULL OR s.oid IN (
    SELECT p.refobjid FROM pg_attrdef e JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = e.oid
    WHERE e.adrelid = ANY (%(relations)s::oid[]) AND p.refclassid = 'pg_class'::regclass))
ORDER BY 1, 2
"""

_FUNCTIONS = """
SELECT d.objid::int8, d.refobjid::regprocedure::text
FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE d.refclassid = 'pg_proc'::regclass AND n.nspname <> 'pg_catalog'
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid
                                            AND e.deptype = 'e')
  AND (d.classid = 'pg_attrdef'::regclass AND d.objid IN (
          SELECT oid FROM pg_attrdef WHERE adrelid = ANY (%(relations)s::oid[]))
    OR d.classid = 'pg_constraint'::regclass AND d.objid IN (
          SELECT oid FROM pg_constraint WHERE conrelid = ANY (%(relations)s::oid[]))
    OR d.classid = 'pg_class'::regclass AND (d.objid = ANY (%(relations)s::oid[]) OR d.objid IN (
          SELECT indexrelid FROM pg_index WHERE indrelid = ANY (%(relations)s::oid[]))))
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What a statement says of a column and the model does not."""

    virtual: bool = False
    comment: str | None = None
    default: int = 0
    not_null: str | None = None
    identity: Mapping[str, Any] | None = None


Uses = Mapping[int, tuple[str, ...]]
"""OID of a default, constraint, index or table → functions of the application that it calls."""


def read_functions(asker: Asker, relations: Sequence[int]) -> Uses:
    found: dict[int, tuple[str, ...]] = {}
    for oid, function in asker.ask(_FUNCTIONS, relations=list(relations)):
        found[oid] = (*found.get(oid, ()), function)
    return found


def read_sequences(asker: Asker, relations: Sequence[int]) -> Iterator[Statement]:
    """Made before the tables whose defaults use them."""
    for schema, name, options, type, comment, _, _ in asker.ask(_SEQUENCES, relations=list(relations)):
        of = ("sequence", schema, name)
        full = f"{quote_identifier(schema)}.{quote_identifier(name)}"
        yield from schema_statement(schema)
        yield Statement("sequence", f"CREATE SEQUENCE {full} AS {type} {_options(options)}", of)
        yield from comment_on("SEQUENCE", full, comment, of)


def _options(options: Mapping[str, Any]) -> str:
    return (
        f"INCREMENT {options['seqincrement']} MINVALUE {options['seqmin']} MAXVALUE {options['seqmax']}"
        f" START {options['seqstart']} CACHE {options['seqcache']}" + (" CYCLE" if options["seqcycle"] else "")
    )


def read_definitions(asker: Asker, tables: Sequence[Table], uses: Uses, trees: bool) -> Iterator[Statement]:
    """Tables with their primary keys, partitions, defaults and comments."""
    oids = [table.oid for table in tables]
    facts: dict[int, dict[str, ColumnFacts]] = {}
    for oid, column, generated, comment, default, not_null, identity in asker.ask(_COLUMNS, oids):
        facts.setdefault(oid, {})[column] = ColumnFacts(generated == "v", comment, default or 0, not_null, identity)
    about = {row[0]: row[1:] for row in asker.ask(_TABLES, oids)}
    for table in tables:
        yield from schema_statement(table.schema)
        yield from _table(table, facts[table.oid], about[table.oid], uses, trees)
    if trees:
        yield from _partitions(asker, tables, uses)
    yield from _owners(asker, tables)


def _table(
    table: Table, facts: Mapping[str, ColumnFacts], about: Sequence[Any], uses: Uses, tree: bool
) -> Iterator[Statement]:
    partition_key, comment, primary, period = about
    of = ("table", table.schema, table.name)
    parts = [define(column, table, facts[column.name]) for column in table.columns]
    if primary is not None:
        parts.append(f"CONSTRAINT {quote_identifier(primary[0])} {primary[1]}")
    text = f"CREATE TABLE {qualified(table)} ({', '.join(parts)})"
    if tree and partition_key is not None:
        text += f" PARTITION BY {partition_key}"
    newest = period == "true" or any(column.virtual for column in facts.values())
    calls = uses.get(table.oid, ())
    for column in table.columns:
        if column.generated is not None:
            calls += uses.get(facts[column.name].default, ())
    yield Statement("table", text, of, table.id, needs=180000 if newest else 0, uses=calls)
    for column in table.columns:
        if column.default is not None:
            calls = uses.get(facts[column.name].default, ())
            yield Statement("default", set_default(table, column), of, table.id, uses=calls)
    yield from comment_on("TABLE", qualified(table), comment, of, table.id)
    for column in table.columns:
        name = f"{qualified(table)}.{quote_identifier(column.name)}"
        yield from comment_on("COLUMN", name, facts[column.name].comment, of, table.id)
    for column in table.columns:
        if column.identity == "a":
            it = f"ALTER TABLE {qualified(table)} ALTER {quote_identifier(column.name)} SET GENERATED"
            its = ("identity", table.schema, table.name, column.name)
            yield Statement("identity", f"{it} ALWAYS", its, table.id, "cut-over", undo=f"{it} BY DEFAULT")


def define(column: Column, table: Table, facts: ColumnFacts | None = None) -> str:
    """The column in CREATE TABLE; its default is a statement of its own, so that one that cannot be had is no reason to
    stop."""
    facts = facts or ColumnFacts()
    words = [quote_identifier(column.name), column.native]
    if column.collation:
        words.append(f"COLLATE {column.collation}")
    if column.generated is not None:
        words.append(f"GENERATED ALWAYS AS ({column.generated}) {'VIRTUAL' if facts.virtual else 'STORED'}")
    elif column.identity:
        words.append("GENERATED BY DEFAULT AS IDENTITY")  # ALWAYS would refuse the source's values: at cut-over
        if (sequence := facts.identity) is not None:
            name = f"{quote_identifier(sequence['schema'])}.{quote_identifier(sequence['name'])}"
            words.append(f"(SEQUENCE NAME {name} {_options(sequence)})")
    if not column.nullable:
        if facts.not_null not in (None, f"{table.name}_{column.name}_not_null"):
            words.append(f"CONSTRAINT {quote_identifier(str(facts.not_null))}")
        words.append("NOT NULL")
    return " ".join(words)


def set_default(table: Table, column: Column) -> str:
    return f"ALTER TABLE {qualified(table)} ALTER {quote_identifier(column.name)} SET DEFAULT {column.default}"


def _partitions(asker: Asker, tables: Sequence[Table], uses: Uses) -> Iterator[Statement]:
    roots = {table.oid: table for table in tables if table.partitioned}
    if not roots:
        return
    for root, oid, schema, name, parent, bound, key, comment, defaults, without in asker.ask(_PARTITIONS, list(roots)):
        table = roots[root]
        full = f"{quote_identifier(schema)}.{quote_identifier(name)}"
        of = ("table", table.schema, table.name)
        yield from schema_statement(schema)
        by = f" PARTITION BY {key}" if key is not None else ""
        text = f"CREATE TABLE {full} PARTITION OF {parent} {bound}{by}"
        yield Statement("partition", text, of, table.id, uses=uses.get(oid, ()))
        for column, value in defaults:
            what = f"ALTER TABLE ONLY {full} ALTER {quote_identifier(column)} SET DEFAULT {value}"
            yield Statement("default", what, of, table.id)
        for column in without:
            what = f"ALTER TABLE ONLY {full} ALTER {quote_identifier(column)} DROP DEFAULT"
            yield Statement("default", what, of, table.id)
        yield from comment_on("TABLE", full, comment, of, table.id)


def _owners(asker: Asker, tables: Sequence[Table]) -> Iterator[Statement]:
    """A sequence goes with the column that owns it."""
    by_oid = {table.oid: table for table in tables}
    for schema, name, _, _, _, owner, column in asker.ask(_SEQUENCES, relations=list(by_oid)):
        if owner is not None:
            table = by_oid[owner]
            text = (
                f"ALTER SEQUENCE {quote_identifier(schema)}.{quote_identifier(name)}"
                f" OWNED BY {qualified(table)}.{quote_identifier(column)}"
            )
            yield Statement("owner", text, ("table", table.schema, table.name), table.id)
