"""Where a table is cut into chunks: at whole numbers of its key's first column, evenly between the least and the
greatest. Other keys have an order that only the server knows: such a table is one chunk."""

from __future__ import annotations

from cdcd.model.chunk import Bound
from cdcd.model.table import Table
from connectors.mysql.ask import Asker
from connectors.mysql.names import quote, quote_table
from connectors.mysql.snapshot import numeric_key

_SIZE = """
SELECT DATA_LENGTH, (SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT 1000) some)
FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"""


def read_bounds(asker: Asker, table: Table, target_bytes: int) -> list[tuple[tuple[str, ...], Bound]]:
    if (name := numeric_key(table)) is None:
        return []
    key, of = quote(name), quote_table(table)
    ((size, some),) = asker.ask(_SIZE.format(table=of), table.schema, table.name) or [(0, 0)]
    ((least, greatest),) = asker.ask(f"SELECT MIN({key}), MAX({key}) FROM {of}")
    if not some or least is None:
        return []
    pieces = min(-(-int(size or 0) // max(1, target_bytes)), int(greatest) - int(least) + 1)
    step = (int(greatest) - int(least) + 1) / max(1, pieces)
    inner = sorted({int(least) + int(number * step) for number in range(1, pieces)})
    return [((name,), (str(bound),)) for bound in inner]
