"""Everything that is around the tables, for objects = "all": views, functions, triggers and whatever else pg_dump tells
of the schemas that hold selected tables, or none at all; joined with our own statements in pg_dump's order.

Left out, with all that depends on them: tables that are not selected, schemas that hold only such tables, and what
only a superuser may make.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdcd.errors import Transient
from cdcd.model.schema import Stage, Statement, Thing
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.dump import Dump, Entry, dumped
from connectors.postgres.grants import read_grants
from connectors.postgres.names import quote_identifier
from connectors.postgres.objects import STAGES
from connectors.postgres.objects_after import Relations, on_partition
from connectors.postgres.objects_types import schema_statement
from connectors.postgres.scope import schemas_apart, tables_left, with_partitions

BEFORE = frozenset({
    "aggregate", "cast", "collation", "conversion", "function", "materialized view", "operator", "procedure", "schema",
    "sequence", "text search configuration", "text search dictionary", "type", "view",
})  # fmt: skip
AFTER = frozenset({
    "default value", "domain constraint", "index", "policy", "row security", "rule", "statistics object", "trigger",
})  # fmt: skip
"""What is brought, as pg_identify_object calls it, before the data and after it."""

PG_CLASS = 1259
"""The catalogue of what is told without one: row security, by its table's OID."""

INITIAL = ("cdcd", "public")
"""Schemas that are not made."""

FIRST = frozenset({"schema", "extension", "collation", "type", "sequence", "table", "partition"})
"""Our own statements that others may need: these take the place that pg_dump has for them."""

# Of a view, what depends on something is its rule. A table's own parts come with it, or go with it.
_GONE = """
WITH RECURSIVE gone (class, oid) AS (
    SELECT o.class, o.oid FROM (
        SELECT 'pg_class'::regclass::oid AS class, c.oid, c.relnamespace AS space, c.oid = ANY (%(left)s::oid[]) AS left
        FROM pg_class c WHERE c.oid <> ALL (%(ours)s::oid[])
        UNION ALL
        SELECT 'pg_proc'::regclass, p.oid, p.pronamespace, NOT l.lanpltrusted AND p.prokind <> 'a' AND p.oid >= 16384
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        UNION ALL
        SELECT 'pg_type'::regclass, t.oid, t.typnamespace,
               t.typtype IN ('b', 'p') AND t.typcategory <> 'A' AND t.oid >= 16384
        FROM pg_type t WHERE t.oid <> ALL (%(types)s::oid[]) AND t.typelem <> ALL (%(types)s::oid[])) o
    WHERE (o.left OR o.space = ANY (%(apart)s::oid[])) AND NOT EXISTS (
        SELECT FROM pg_depend e WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e')
    UNION
    SELECT x.class, x.oid FROM gone g
    JOIN pg_depend d ON d.refclassid = g.class AND d.refobjid = g.oid AND d.deptype IN ('n', 'a', 'i')
    LEFT JOIN pg_rewrite u ON d.classid = 'pg_rewrite'::regclass AND u.oid = d.objid AND u.rulename = '_RETURN',
    LATERAL (VALUES (d.classid, d.objid), ('pg_class'::regclass::oid, u.ev_class)) x (class, oid)
    WHERE x.oid IS NOT NULL AND NOT (x.class = 'pg_class'::regclass AND x.oid = ANY (%(ours)s::oid[])))
SELECT class::int8, oid::int8 FROM gone
"""

_FACTS = """
SELECT w.number::int - 1, i.type, i.identity, r.oid::int8, r.relkind::text,
       CASE WHEN s.oid IS NOT NULL THEN ARRAY['schema', s.nspname::text]
            WHEN e.oid IS NOT NULL THEN ARRAY['extension', e.extname::text]
            WHEN y.oid IS NOT NULL THEN ARRAY['type', yn.nspname::text, y.typname::text]
            WHEN l.oid IS NOT NULL THEN ARRAY['collation', ln.nspname::text, l.collname::text]
            WHEN c.relkind = 'S' THEN ARRAY['sequence', cn.nspname::text, c.relname::text]
            WHEN c.relkind IN ('r', 'p') THEN ARRAY['table', cn.nspname::text, c.relname::text] END,
       rn.nspname, r.relname, c.relkind = 'm' AND c.relispopulated, r.relforcerowsecurity,
       u.rulename = '_RETURN', t.tgenabled IN ('A', 'R'),
       c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid
                                                             AND o.deptype IN ('a', 'i')),
       ARRAY(SELECT g.rolname::text FROM pg_roles g WHERE g.oid = ANY (p.polroles) ORDER BY 1)
FROM unnest(%s::oid[], %s::oid[]) WITH ORDINALITY w (class, oid, number)
LEFT JOIN pg_namespace s ON w.class = 'pg_namespace'::regclass AND s.oid = w.oid
LEFT JOIN pg_extension e ON w.class = 'pg_extension'::regclass AND e.oid = w.oid
LEFT JOIN (pg_type y JOIN pg_namespace yn ON yn.oid = y.typnamespace) ON w.class = 'pg_type'::regclass AND y.oid = w.oid
LEFT JOIN (pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace)
       ON w.class = 'pg_collation'::regclass AND l.oid = w.oid
LEFT JOIN (pg_class c JOIN pg_namespace cn ON cn.oid = c.relnamespace)
       ON w.class = 'pg_class'::regclass AND c.oid = w.oid
LEFT JOIN pg_trigger t ON w.class = 'pg_trigger'::regclass AND t.oid = w.oid
LEFT JOIN pg_rewrite u ON w.class = 'pg_rewrite'::regclass AND u.oid = w.oid
LEFT JOIN pg_policy p ON w.class = 'pg_policy'::regclass AND p.oid = w.oid
LEFT JOIN pg_statistic_ext x ON w.class = 'pg_statistic_ext'::regclass AND x.oid = w.oid
LEFT JOIN pg_index d ON w.class = 'pg_class'::regclass AND d.indexrelid = w.oid
LEFT JOIN pg_attrdef a ON w.class = 'pg_attrdef'::regclass AND a.oid = w.oid
LEFT JOIN (pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace)
       ON r.oid = coalesce(t.tgrelid, u.ev_class, p.polrelid, x.stxrelid, d.indrelid, a.adrelid, c.oid),
LATERAL pg_identify_object(w.class, w.oid, 0) i
"""

_EXTENSIONS = """
SELECT e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql' ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """What the catalogue says of an entry. `relation`: what it is on, or is; `thing`: by what our own statements name
    it; `populated` of a materialized view, `forced` of a table's row security, `body` of a rule that is a view's,
    `always` of a trigger that fires for us too, `owned` of a sequence, `roles` of a policy."""

    type: str
    identity: str
    relation: int | None
    kind: str | None
    thing: Sequence[str] | None
    schema: str | None
    name: str | None
    populated: bool | None
    forced: bool | None
    body: bool | None
    always: bool | None
    owned: bool | None
    roles: Sequence[str]


@dataclass(frozen=True, slots=True)
class Around:
    """`statements` for a target, the tables' own among them; `left_out`: what pg_dump tells and none of them makes:
    type, name."""

    statements: list[Statement]
    left_out: list[tuple[str, str]]


def read_all(
    asker: Asker, url: str, application: str, relations: Relations, own: Sequence[Statement], wake: Wake
) -> Around:
    """`own`: the statements that make the tables and what they need; `relations`: what they make of tables."""
    with asker.connection() as connection:
        version = connection.server_version
    ours = with_partitions(asker, {table.oid for _, _, table in relations.values()})
    apart, left = schemas_apart(asker, ours), tables_left(asker, ours)
    own = [*own, *_extensions(asker, own)]
    with dumped(url, application, version, ["cdcd"], [(schema, name) for _, schema, name in left], wake) as dump:
        entries = [entry for entry in dump.entries if entry.oid]
        found = asker.ask(_FACTS, [one.catalogue or PG_CLASS for one in entries], [one.oid for one in entries])
        facts = {entries[row[0]].number: Fact(*row[1:]) for row in found if row[1] is not None}
        things = {one.of for one in own}
        types = [one.oid for one in entries if (fact := facts.get(one.number)) and _mine(fact, things) == "type"]
        names = {"left": [row[0] for row in left], "ours": ours, "apart": [oid for oid, _ in apart], "types": types}
        others = {("schema", name) for name in [*INITIAL, *(name for _, name in apart)]}
        schemas = [one for one in entries if (fact := facts.get(one.number)) and tuple(fact.thing or ()) in others]
        gone = {*asker.ask(_GONE, **names), *((one.catalogue, one.oid) for one in schemas)}
        statements, objects, left_out = _join(dump, facts, relations, own, gone)
    statements += read_grants(asker, relations, objects)
    return Around(sorted(dict.fromkeys(statements), key=lambda one: STAGES.index(one.stage)), left_out)


def _extensions(asker: Asker, own: Sequence[Statement]) -> Iterator[Statement]:
    there = {one.of for one in own}
    for name, schema in asker.ask(_EXTENSIONS):
        if ("extension", name) not in there:
            where = "" if schema == "pg_catalog" else f" SCHEMA {quote_identifier(schema)}"
            yield from schema_statement(schema)
            yield Statement("extension", f"CREATE EXTENSION {quote_identifier(name)}{where}", ("extension", name))


def _mine(fact: Fact, things: Collection[Thing]) -> str | None:
    """What our own statements make of it."""
    return fact.thing[0] if fact.thing and tuple(fact.thing) in things else None


def _join(
    dump: Dump, facts: Mapping[int, Fact], relations: Relations, own: Sequence[Statement], gone: Collection[Any]
) -> tuple[list[Statement], list[tuple[int, int]], list[tuple[str, str]]]:
    """The statements; catalogue and OID of all that they make; and what they do not."""
    things = {one.of for one in own}
    chosen: dict[int, Statement] = {}  # text and all that is not known yet left empty
    left_out = []
    for entry in dump.entries:
        fact = facts.get(entry.number)
        if fact is None:
            first = chosen.get(entry.needs[0]) if entry.needs and entry.about.startswith("COMMENT ") else None
            if first is not None:
                chosen[entry.number] = replace(first, kind="comment", undo="")
            continue
        fact = replace(fact, type="row security") if entry.about.startswith("ROW SECURITY ") else fact
        if _mine(fact, things) and fact.type != "row security":
            continue
        made = None if (entry.catalogue, entry.oid) in gone else _statement(fact, relations)
        if made is not None:
            chosen[entry.number] = made
        elif not fact.owned and fact.type in BEFORE | AFTER and not _on_other(fact, relations):
            left_out.append((fact.type, fact.identity))
    texts = dump.texts(chosen.keys()) if chosen else {}
    dumped = {number: replace(one, text=texts[number]) for number, one in chosen.items()}
    statements = [*_merged(dump.entries, facts, dumped, own), *_beside(facts, dumped)]
    makes = {number for number, fact in facts.items() if _mine(fact, things) or number in dumped}
    return statements, [(one.catalogue, one.oid) for one in dump.entries if one.number in makes], left_out


def _on_other(fact: Fact, relations: Relations) -> bool:
    """A part of a table, or of a partition that does not come by its name."""
    return fact.kind in ("r", "p") and (fact.type in ("index", "default value") or fact.relation not in relations)


def _statement(fact: Fact, relations: Relations) -> Statement | None:
    """What makes it, without its text; None: it is not brought."""
    if fact.type not in BEFORE | AFTER or fact.owned:
        return None
    table = ""
    if fact.kind in ("r", "p"):
        if _on_other(fact, relations) or fact.relation is None:
            return None
        table = relations[fact.relation][2].id
    of: Thing = ("object", fact.type, fact.identity)
    stage: Stage = "before" if fact.type in BEFORE else "after"
    on: Thing = on_partition(relations[fact.relation]) if table and fact.relation else ()
    undo = ""
    if fact.type == "schema" and fact.thing:
        of = tuple(fact.thing)
    elif fact.type == "row security":
        of = ("row security", str(fact.schema), str(fact.name))
    elif fact.type == "rule" and fact.body:
        of = ("view body", str(fact.schema), str(fact.name))
    elif table and (fact.type == "rule" or fact.always):
        # These act on the rows that we write, too.
        stage, undo = "cut-over", f"DROP {fact.type.upper()} {fact.identity}"
    elif table and fact.type == "trigger":
        undo = f"DROP TRIGGER {fact.identity}"  # at cut-over where our role cannot keep it from firing
    return Statement(fact.type, "", of, table, stage, on=on, undo=undo, roles=tuple(fact.roles))


def _merged(
    entries: Sequence[Entry], facts: Mapping[int, Fact], dumped: Mapping[int, Statement], own: Sequence[Statement]
) -> Iterator[Statement]:
    places: dict[Thing, list[Statement]] = {}
    rest = []
    for one in own:
        if one.stage == "before" and one.kind in FIRST:
            places.setdefault(one.of, []).append(one)
        else:
            rest.append(one)
    order = [tuple(fact.thing) if (fact := facts.get(one.number)) and fact.thing else () for one in entries]
    known = set(order)
    for thing in [thing for thing in places if thing not in known]:
        if thing[0] == "table":
            raise Transient(f"{'.'.join(thing[1:])} is not in the dump", why="it came, or was renamed, meanwhile")
        yield from places.pop(thing)
    for entry, thing in zip(entries, order, strict=True):
        yield from places.pop(thing, ())
        if (its := dumped.get(entry.number)) is not None and its.stage == "before":
            yield its
    yield from (one for one in rest if one.stage == "before")
    for stage in ("after", "cut-over"):
        yield from (one for one in rest if one.stage == stage)
        yield from (one for one in dumped.values() if one.stage == stage)


def _beside(facts: Mapping[int, Fact], dumped: Mapping[int, Statement]) -> Iterator[Statement]:
    """What pg_dump has at another place: the rows of materialized views that hold some at the source, in an order that
    works, and row security that holds for the owner, as whom we write."""
    for number, one in dumped.items():
        fact = facts.get(number)
        if fact is None:
            continue
        names = str(fact.schema), str(fact.name)
        if fact.populated:
            text = f"REFRESH MATERIALIZED VIEW {fact.identity}"
            yield Statement("refresh", text, ("populated", *names), stage="after")
        if one.of[0] == "row security" and fact.forced:
            what = f"ALTER TABLE ONLY {'.'.join(map(quote_identifier, names))}"
            text, undo = f"{what} FORCE ROW LEVEL SECURITY", f"{what} NO FORCE ROW LEVEL SECURITY"
            yield Statement("row security", text, ("forced", *names), one.table, "cut-over", on=one.on, undo=undo)
