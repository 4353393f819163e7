"""The source's tables and all they need, as the statements that make them again, in an order that works."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.schema import Statement
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier
from connectors.postgres.objects_after import Relations, read_after
from connectors.postgres.objects_tables import read_definitions, read_functions, read_sequences
from connectors.postgres.objects_types import comment_on, read_types

_RELATIONS = """
SELECT r.root::int8, c.oid::int8, n.nspname, c.relname
FROM unnest(%s::oid[]) r (root), LATERAL (
    SELECT r.root AS relid UNION SELECT relid FROM pg_partition_tree(r.root) WHERE relid IS NOT NULL AND %s) p
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') ORDER BY n.nspname, c.relname
"""

_SCHEMAS = """
SELECT n.nspname, d.description FROM pg_namespace n
JOIN pg_description d ON d.classoid = 'pg_namespace'::regclass AND d.objoid = n.oid
WHERE n.nspname = ANY (%s) ORDER BY 1
"""


STAGES = ("before", "after", "cut-over")


def read_relations(asker: Asker, tables: Sequence[Table], trees: bool) -> Relations:
    """The tables; with their partitions, where these come as `trees`."""
    by_oid = {table.oid: table for table in tables}
    found = asker.ask(_RELATIONS, list(by_oid), trees)
    return {oid: (schema, name, by_oid[root]) for root, oid, schema, name in found}


def read_objects(
    asker: Asker, tables: Sequence[Table], trees: bool, relations: Relations | None = None
) -> list[Statement]:
    """What belongs to no table comes first, then what is made before the data, after it, and at cut-over. `trees`:
    partitioned tables with their partitions; else plain. `relations`: those read already."""
    if relations is None:
        relations = read_relations(asker, tables, trees)
    uses = read_functions(asker, list(relations))
    found = [
        *read_types(asker, list(relations)),
        *read_sequences(asker, list(relations)),
        *read_definitions(asker, tables, uses, trees),
        *read_after(asker, relations, uses),
    ]
    statements = list(dict.fromkeys(found))  # schemas are named by all that is in them
    schemas = [one.of[1] for one in statements if one.kind == "schema"]
    for name, comment in asker.ask(_SCHEMAS, schemas):
        statements += comment_on("SCHEMA", quote_identifier(name), comment, ("schema", name))
    return sorted(statements, key=lambda statement: STAGES.index(statement.stage))


def read_needs(asker: Asker, table: Table) -> list[Statement]:
    """What has to be there before the table's columns."""
    return list(dict.fromkeys([*read_types(asker, [table.oid]), *read_sequences(asker, [table.oid])]))
