"""What would become of tables that are made at a MySQL or MariaDB target: other equality of keys, names that meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from cdcd.contracts import Finding
from cdcd.model.table import Table
from connectors.mysql.ddl import PRODUCTS, read_collations
from connectors.mysql.dialect import collation_here
from connectors.mysql.findings import finding
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session
from connectors.mysql.shape import find_shape


def check_structure(session: Session, tables: Sequence[Table], policy: str) -> Iterator[Finding]:
    """`policy` is `target_tables`: by "drop" they are made anew."""
    made = [table for table in tables if policy == "drop" or find_shape(session, table) is None]
    there: Collection[str] = read_collations(session) if made else ()
    for table in made:
        yield from _collations(table, there if table.product in PRODUCTS else ())
        for name, times in Counter(column.name.lower() for column in table.columns).items():
            if times > 1:
                yield finding("MT-CASE", f"{table.id} has columns that differ in letters' case alone", name,
                              "rename one of them at the source")  # fmt: skip
    if session.lower_case:
        for id, times in Counter(table.id.lower() for table in tables).items():
            if times > 1:
                yield finding("MT-CASE", "tables differ in letters' case alone, and the target keeps no case",
                              f"{id}, lower_case_table_names = {session.lower_case}",
                              "rename one of them, or take a server with lower_case_table_names = 0")  # fmt: skip


def _collations(table: Table, there: Collection[str]) -> Iterator[Finding]:
    """Rows that were two under the source's collation may be one under another, or the other way round."""
    keys = {*table.key, *(column for unique in table.unique for column in unique)}
    for column in table.columns:
        if not there or not column.collation:
            continue
        here = collation_here(column.collation, there)
        if here != column.collation:
            in_key = column.name in keys
            what = "which decides which keys are equal" if in_key else "by which it sorts and compares"
            yield finding(
                "MT-COLLATION-KEY" if in_key else "MT-COLLATION",
                f"{table.id}.{column.name}: the target has not its collation, {what}",
                f"source: {column.collation}; there: {here}",
                f"ALTER TABLE … MODIFY {quote(column.name)} … COLLATE {column.collation.partition('_')[0]}_bin at the "
                "source; or make the table at the target by hand, and choose target_tables = use" if in_key else "",
            )  # fmt: skip
