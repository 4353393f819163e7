"""What columns need before their tables can be made: schemas, extensions, collations, enum, domain, composite and range
types, those that depend on others last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cdcd.model.schema import Statement, Thing
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier, quote_literal
from connectors.postgres.sessions import Session

# Not those of extensions: they come with these.
_TYPES = """
WITH RECURSIVE needed AS (
    SELECT a.atttypid AS oid FROM pg_attribute a
    WHERE a.attrelid = ANY (%(relations)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT t.oid FROM unnest(%(schemas)s::text[], %(names)s::text[]) w (schema, name)
    JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = w.name
    UNION
    SELECT x.oid FROM needed n JOIN pg_type t ON t.oid = n.oid LEFT JOIN pg_range r ON r.rngtypid = t.oid
        LEFT JOIN pg_range m ON to_jsonb(m) ->> 'rngmultitypid' = t.oid::text
        LEFT JOIN pg_attribute a ON a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped,
        LATERAL (VALUES (t.typbasetype), (CASE WHEN t.typcategory = 'A' THEN t.typelem END), (r.rngsubtype),
                        (m.rngtypid), (a.atttypid)) x (oid)
    WHERE x.oid <> 0)
SELECT t.oid::int8, t.typtype::text, n.nspname, t.typname, d.description,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       format_type(t.typbasetype, t.typtypmod), t.typnotnull, pg_get_expr(t.typdefaultbin, 'pg_type'::regclass),
       CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END,
       ARRAY(SELECT ARRAY[k.conname::text, pg_get_constraintdef(k.oid)] FROM pg_constraint k
             WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname),
       ARRAY(SELECT ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod),
                          CASE WHEN a.attcollation <> o.typcollation THEN a.attcollation::regcollation::text END]
             FROM pg_attribute a JOIN pg_type o ON o.oid = a.atttypid
             WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       to_jsonb(r) || jsonb_build_object(
           'subtype', format_type(r.rngsubtype, NULL),
           'opclass', (SELECT format('%%I.%%I', n.nspname, o.opcname) FROM pg_opclass o
                       JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE o.oid = r.rngsubopc AND NOT o.opcdefault),
           'collation', CASE WHEN r.rngcollation <> s.typcollation THEN r.rngcollation::regcollation::text END,
           'diff', nullif(r.rngsubdiff, 0)::regproc::text,
           'multirange', format_type((to_jsonb(r) ->> 'rngmultitypid')::oid, NULL)),
       ARRAY(SELECT x.oid::int8 FROM (
                 VALUES (t.typbasetype), (CASE WHEN t.typcategory = 'A' THEN t.typelem END), (r.rngsubtype),
                        ((SELECT m.rngtypid FROM pg_range m WHERE to_jsonb(m) ->> 'rngmultitypid' = t.oid::text))
                 UNION ALL SELECT a.atttypid FROM pg_attribute a
                 WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) x (oid) WHERE x.oid <> 0),
       c.relkind = 'c' OR t.typtype IN ('d', 'e', 'r')
FROM needed JOIN pg_type t USING (oid) JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_range r ON r.rngtypid = t.oid
LEFT JOIN pg_type s ON s.oid = r.rngsubtype LEFT JOIN pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_description d ON d.objoid = t.oid AND d.classoid = 'pg_type'::regclass
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid
                                            AND e.deptype = 'e')
ORDER BY n.nspname, t.typname
"""

_COLLATIONS = """
SELECT n.nspname, c.collname, to_jsonb(c), d.description
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
LEFT JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_collation'::regclass
WHERE n.nspname <> 'pg_catalog' AND (
    c.oid IN (SELECT attcollation FROM pg_attribute WHERE attrelid = ANY (%(relations)s::oid[]))
    OR c.oid IN (SELECT unnest(i.indcollation) FROM pg_index i WHERE i.indrelid = ANY (%(relations)s::oid[]))
    OR c.oid IN (SELECT typcollation FROM pg_type WHERE oid = ANY (%(types)s::oid[]))
    OR c.oid IN (SELECT a.attcollation FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
                 WHERE t.oid = ANY (%(types)s::oid[]) AND t.typrelid <> 0))
ORDER BY 1, 2
"""

# Of what the tables depend on: types of columns, operator classes of indexes, functions of expressions…
_EXTENSIONS = """
SELECT DISTINCT e.extname, n.nspname
FROM pg_depend d
JOIN pg_depend m ON m.classid = d.refclassid AND m.objid = d.refobjid AND m.deptype = 'e'
                AND m.refclassid = 'pg_extension'::regclass
JOIN pg_extension e ON e.oid = m.refobjid JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE d.classid = 'pg_class'::regclass AND (d.objid = ANY (%(relations)s::oid[]) OR d.objid IN (
          SELECT indexrelid FROM pg_index WHERE indrelid = ANY (%(relations)s::oid[])))
   OR d.classid = 'pg_attrdef'::regclass AND d.objid IN (
          SELECT oid FROM pg_attrdef WHERE adrelid = ANY (%(relations)s::oid[]))
   OR d.classid = 'pg_constraint'::regclass AND d.objid IN (
          SELECT oid FROM pg_constraint WHERE conrelid = ANY (%(relations)s::oid[])
                                           OR contypid = ANY (%(types)s::oid[]))
   OR d.classid = 'pg_type'::regclass AND d.objid IN (
          SELECT t.oid FROM pg_type t WHERE t.oid = ANY (%(types)s::oid[]) UNION
          SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = ANY (%(relations)s::oid[]) UNION
          SELECT t.typelem FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
          WHERE a.attrelid = ANY (%(relations)s::oid[]))
   OR d.classid = 'pg_class'::regclass AND d.objid IN (SELECT typrelid FROM pg_type WHERE oid = ANY (%(types)s::oid[]))
ORDER BY 1
"""


def read_types(asker: Asker, relations: Sequence[int]) -> list[Statement]:
    """Everything that tables and partitions of these OIDs need, in an order that works."""
    found = {row[0]: row for row in asker.ask(_TYPES, relations=list(relations), schemas=[], names=[])}
    wanted = {"relations": list(relations), "types": list(found)}
    statements: list[Statement] = []
    extensions = asker.ask(_EXTENSIONS, **wanted)
    for schema in sorted({schema for _, schema in extensions}):
        statements += schema_statement(schema)
    for name, schema in extensions:
        text = f"CREATE EXTENSION {quote_identifier(name)} SCHEMA {quote_identifier(schema)}"
        if schema == "pg_catalog":
            text = f"CREATE EXTENSION {quote_identifier(name)}"
        statements.append(Statement("extension", text, ("extension", name)))
    collations = asker.ask(_COLLATIONS, **wanted)
    for schema in sorted({row[0] for row in collations} | {row[2] for row in found.values()}):
        statements += schema_statement(schema)
    for schema, name, facts, comment in collations:
        statements += _collation(schema, name, facts, comment)
    for oid in _in_order(found):
        statements += _type(*found[oid][1:13])
    return statements


def types_there(session: Session, wanted: Sequence[Statement]) -> dict[Thing, str]:
    """The statements that would make the target's own types of these names."""
    names = [one.of for one in wanted if one.kind == "type"]
    schemas = {"relations": [], "schemas": [name[1] for name in names], "names": [name[2] for name in names]}
    rows = session.rows(_TYPES, schemas) if names else []
    made = [one for row in rows if row[14] for one in _type(*row[1:13])]
    return {one.of: one.text for one in reversed(made) if one.kind == "type" and one.of in names}


def schema_statement(schema: str) -> list[Statement]:
    if schema in ("public", "pg_catalog"):
        return []
    return [Statement("schema", f"CREATE SCHEMA {quote_identifier(schema)}", ("schema", schema))]


def comment_on(kind: str, name: str, text: str | None, of: tuple[str, ...], table: str = "") -> list[Statement]:
    """`kind` and `name` as the statement says them; none where there is no comment."""
    if text is None:
        return []
    return [Statement("comment", f"COMMENT ON {kind} {name} IS {quote_literal(text)}", of, table)]


def _in_order(found: Mapping[int, Sequence[Any]]) -> Iterable[int]:
    """Each after those that it is made of."""
    done: dict[int, None] = {}

    def visit(oid: int, above: tuple[int, ...]) -> None:
        if oid in found and oid not in done and oid not in above:
            for part in found[oid][13]:
                visit(part, (*above, oid))
            done[oid] = None

    for oid in found:
        visit(oid, ())
    return [oid for oid in done if found[oid][14]]


def _collation(schema: str, name: str, facts: Mapping[str, Any], comment: str | None) -> Iterator[Statement]:
    provider = {"i": "icu", "c": "libc", "b": "builtin"}[facts["collprovider"]]
    locale = facts.get("colllocale") or facts.get("colliculocale")
    options = [f"provider = {provider}"]
    if locale is None and facts["collcollate"] == facts["collctype"]:
        locale = facts["collcollate"]
    if locale is not None:
        options.append(f"locale = {quote_literal(locale)}")
    else:
        options.append(f"lc_collate = {quote_literal(facts['collcollate'])}")
        options.append(f"lc_ctype = {quote_literal(facts['collctype'])}")
    if not facts["collisdeterministic"]:
        options.append("deterministic = false")
    needs = 170000 if provider == "builtin" else 0
    if facts.get("collicurules"):
        options.append(f"rules = {quote_literal(facts['collicurules'])}")
        needs = 160000
    full = f"{quote_identifier(schema)}.{quote_identifier(name)}"
    of = ("collation", schema, name)
    yield Statement("collation", f"CREATE COLLATION {full} ({', '.join(options)})", of, needs=needs)
    yield from comment_on("COLLATION", full, comment, of)


def _type(
    kind: str, schema: str, name: str, comment: str | None, labels: Sequence[str], base: str, required: bool,
    default: str | None, collation: str | None, checks: Sequence[Sequence[str]],
    attributes: Sequence[Sequence[str | None]], span: Mapping[str, Any] | None,
) -> Iterator[Statement]:
    full = f"{quote_identifier(schema)}.{quote_identifier(name)}"
    of = ("type", schema, name)
    later = []
    if kind == "e":
        text = f"CREATE TYPE {full} AS ENUM ({', '.join(map(quote_literal, labels))})"
    elif kind == "d":
        words = [f"CREATE DOMAIN {full} AS {base}"]
        words += [f"COLLATE {collation}"] if collation else []
        words += [f"DEFAULT {default}"] if default is not None else []
        words += ["NOT NULL"] if required else []
        for check, definition in checks:
            if definition.endswith(" NOT VALID"):  # not a word of CREATE DOMAIN
                later.append(f"ALTER DOMAIN {full} ADD CONSTRAINT {quote_identifier(check)} {definition}")
            else:
                words.append(f"CONSTRAINT {quote_identifier(check)} {definition}")
        text = " ".join(words)
    elif kind == "r" and span is not None:
        text = _range(full, span)
    else:
        parts = [
            f"{quote_identifier(str(attribute))} {native}" + (f" COLLATE {order}" if order else "")
            for attribute, native, order in attributes
        ]
        text = f"CREATE TYPE {full} AS ({', '.join(parts)})"
    yield Statement("type", text, of)
    for statement in later:
        yield Statement("type", statement, of)
    yield from comment_on("DOMAIN" if kind == "d" else "TYPE", full, comment, of)


def _range(full: str, span: Mapping[str, Any]) -> str:
    options = [f"subtype = {span['subtype']}"]
    for word, key in (("subtype_opclass", "opclass"), ("collation", "collation"), ("subtype_diff", "diff")):
        if span[key] not in (None, "-"):
            options.append(f"{word} = {span[key]}")
    if span["multirange"]:
        options.append(f"multirange_type_name = {span['multirange']}")
    return f"CREATE TYPE {full} AS RANGE ({', '.join(options)})"
