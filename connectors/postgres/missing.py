"""Which statements of a schema a target still needs: those whose object is not there, asked one question per kind."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cdcd.model.schema import Statement, Thing
from connectors.postgres.grants import GRANTED, REVOKED
from connectors.postgres.sessions import Session

_NAMED = """
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[]) w (number, schema, name)
JOIN pg_namespace n ON n.nspname = w.schema JOIN {catalogue} x ON x.{namespace} = n.oid AND x.{name} = w.name {more}
"""

# Those that DROP TABLE would take along with the column that owns them count as missing.
_SEQUENCES = """AND NOT EXISTS (
    SELECT FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.deptype IN ('a', 'i')
      AND tn.nspname || '.' || t.relname = ANY (%s))"""

_ALONE = "SELECT w.number FROM unnest(%s::int[], %s::text[]) w (number, name) JOIN {catalogue} x ON x.{name} = w.name"

_CONSTRAINTS = """
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[]) w (number, schema, relation, name)
JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation
JOIN pg_constraint k ON k.conrelid = c.oid AND k.conname = w.name
"""

# An index by what it does, whatever its name: a unique one serves as one that is not.
_INDEXES = """
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[]) w (number, schema, relation, parts)
JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation
WHERE EXISTS (
    SELECT FROM pg_index i, LATERAL (
        SELECT string_agg('"' || replace(a.attname, '"', '""') || '"' || CASE o & 1 WHEN 1 THEN ' DESC' ELSE '' END,
                          ', ' ORDER BY k.place) AS parts
        FROM unnest(i.indkey, i.indoption) WITH ORDINALITY k (attnum, o, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts) p
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND (p.parts = w.parts OR i.indisunique AND 'UNIQUE ' || p.parts = w.parts))
"""

_IDENTITIES = """
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[]) w (number, schema, relation, name)
LEFT JOIN (pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace)
       ON n.nspname = w.schema AND c.relname = w.relation AND a.attname = w.name
WHERE a.attidentity IS DISTINCT FROM 'd'
"""
"""What is there of ALWAYS: whatever may not be made so."""

_OBJECTS = """
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[]) w (number, type, identity)
JOIN (SELECT i.type, i.identity FROM (
          SELECT 'pg_class'::regclass::oid AS class, oid FROM pg_class WHERE relkind IN ('v', 'm', 'S', 'i')
          {catalogues}) o,
      LATERAL pg_identify_object(o.class, o.oid, 0) i WHERE o.oid >= 16384) x USING (type, identity)
""".format(
    catalogues=" ".join(
        f"UNION ALL SELECT '{catalogue}'::regclass, oid FROM {catalogue}"
        for catalogue in (
            "pg_proc", "pg_type", "pg_trigger", "pg_rewrite", "pg_policy", "pg_statistic_ext", "pg_operator", "pg_cast",
            "pg_conversion", "pg_collation", "pg_ts_config", "pg_ts_dict", "pg_constraint", "pg_attrdef",
        )
    )
)  # fmt: skip
"""By type and identity, as pg_identify_object tells them at both ends."""

_RELATIONS = """
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[]) w (number, schema, name)
JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
WHERE {true}
"""

# pg_dump makes a view that a constraint is a part of as an empty one first, whose rule speaks of no other relation.
_BODY = """EXISTS (SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                   WHERE r.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid)"""

_KINDS = {
    "object": _OBJECTS,
    "row security": _RELATIONS.format(true="c.relrowsecurity"),
    "forced": _RELATIONS.format(true="c.relforcerowsecurity"),
    "populated": _RELATIONS.format(true="c.relispopulated"),
    "view body": _RELATIONS.format(true=_BODY),
    "grant": GRANTED,
    "revoke": REVOKED,
    "schema": _ALONE.format(catalogue="pg_namespace", name="nspname"),
    "extension": _ALONE.format(catalogue="pg_extension", name="extname"),
    "type": _NAMED.format(catalogue="pg_type", namespace="typnamespace", name="typname", more=""),
    "collation": _NAMED.format(catalogue="pg_collation", namespace="collnamespace", name="collname", more=""),
    "table": _NAMED.format(catalogue="pg_class", namespace="relnamespace", name="relname", more=""),
    "index": _NAMED.format(catalogue="pg_class", namespace="relnamespace", name="relname", more=""),
    "sequence": _NAMED.format(catalogue="pg_class", namespace="relnamespace", name="relname", more=_SEQUENCES),
    "constraint": _CONSTRAINTS,
    "parts": _INDEXES,
    "identity": _IDENTITIES,
}


def missing(
    session: Session, statements: Sequence[Statement], made: Collection[str] = (), dropped: Collection[str] = ()
) -> list[Statement]:
    """In the order given. `made`: ids of tables that are about to be made, with everything of theirs; `dropped`: those
    of them that are there until then."""
    there = existing(session, {thing for one in statements for thing in (one.of, one.on) if thing}, dropped)
    return [
        one for one in statements if one.table in made or (one.of not in there and (not one.on or one.on in there))
    ]


def existing(session: Session, things: Collection[Thing], dropped: Collection[str] = ()) -> set[Thing]:
    by_kind: dict[str, list[Thing]] = {}
    for thing in things:
        by_kind.setdefault(thing[0], []).append(thing)
    there: set[Thing] = set()
    for kind, its in by_kind.items():
        columns = [list(range(len(its))), *(list(names) for names in zip(*(thing[1:] for thing in its), strict=True))]
        parameters = [*columns, list(dropped)] if kind == "sequence" else columns
        there |= {its[row[0]] for row in session.rows(_KINDS[kind], parameters)}
    return there
