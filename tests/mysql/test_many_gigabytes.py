"""One transaction of more than 4 GB, which makes a file of the log longer than its events can tell. It wants 16 GB of
room where TMPDIR is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import pytest

from cdcd.contracts import Reading
from cdcd.model.group import Group, Rows
from cdcd.model.position import Checkpoint
from connectors.mysql.position import Offset
from tests.mysql.test_source_stream import TABLE, WITHOUT_GTIDS, Reader, reading, session
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase

ROWS, SIZE = 560, 8_000_000


def read(reader: Reader, limit: float = 900) -> tuple[int, Checkpoint]:
    """Rows up to the head, of which none is kept, and the place behind them."""
    end, rows = time.monotonic() + limit, 0
    while time.monotonic() < end:
        group = Group()
        reading = reader.source.read(group, None, 0.1)
        for step in group.steps:
            assert isinstance(step, Rows)
            rows += len(step.order)
        if reading is Reading.IDLE and group.position is not None and group.position.covers(reader.source.head()):
            return rows, Checkpoint(group.position)
    raise AssertionError("the source does not come to rest")


@pytest.mark.failure("MY-19")
@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("product", ["mysql", "mariadb", "mysql without GTIDs"])
def test_a_transaction_of_more_than_four_gigabytes(
    product: str, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> None:
    """All of it comes, once; what follows does, from the place behind it and from one in the same file before."""
    name, _, without = product.partition(" ")
    server = mysql_servers(name, "many gigabytes", **(WITHOUT_GTIDS if without else {}))
    assert shutil.disk_usage(server.directory).free > 16 << 30
    database = mysql_on(server)
    database.sql(TABLE, "CREATE TABLE n (n int PRIMARY KEY)")
    database.sql("INSERT INTO n VALUES " + ", ".join(f"({n})" for n in range(ROWS)))
    with reading(database, bound=4 << 20) as reader:
        database.sql("INSERT INTO t (id) VALUES (-1)")
        first, before = read(reader)
        database.sql(f"INSERT INTO t (id, b) SELECT n, REPEAT('x', {SIZE}) FROM n")
        huge, behind = read(reader)
        database.sql("INSERT INTO t (id) VALUES (-2)")
        session(database, "FLUSH BINARY LOGS")
        database.sql("INSERT INTO t (id) VALUES (-3)")
        last, end = read(reader)
    assert (first, huge, last) == (1, ROWS, 2)
    sizes = {str(file): int(size) for file, size, *_ in server.execute("SHOW BINARY LOGS")}
    assert max(sizes.values()) > 1 << 32
    database.sql("UPDATE t SET a = 'x' WHERE id = -3")
    places = [(before, ROWS + 3), (behind, 3), (end, 1)]
    if isinstance(behind.position, Offset):
        # As it is where others were committed with it, in the file before the server began the next.
        file, size = next((file, size) for file, size in sizes.items() if size > 1 << 32)
        places.append((Checkpoint(Offset(file, size)), 3))
    for place, rows in places:
        with reading(database, bound=4 << 20, checkpoint=place) as reader:
            assert read(reader)[0] == rows, place
