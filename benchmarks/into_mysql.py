"""Copying one table whole from PostgreSQL into MySQL, against COPY to a file and LOAD DATA from it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pymysql

from benchmarks import clock_mysql, mixed, mixed_mysql
from benchmarks.clock import Look
from benchmarks.contenders import Cdcd
from benchmarks.load import start
from benchmarks.result import Ratio
from benchmarks.rounds import rounds
from benchmarks.servers import Ends, Pair, Servers, address, mysql_address
from tests.servers import run as run_directory
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.roles import APP, PASSWORDS, TARGET

Say = Callable[[str], None]

ALL_IN = "SELECT count(*) > 0 AND sum(state <> 'in') = 0 FROM cdcd.chunks"
"""A pipeline is dropped before the next one begins."""

TAG = "encode(convert_to(tag::text, 'UTF8'), 'hex')"
"""A uuid is text at MySQL."""

COPY = (
    "COPY (SELECT id, quantity, grade, active::int, weight, at AT TIME ZONE 'UTC', price, tag, name, note FROM mixed)"
    " TO STDOUT"
)
LOAD = "LOAD DATA LOCAL INFILE %s INTO TABLE mixed CHARACTER SET utf8mb4"


def measure(servers: Servers, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """In turn. cdcd makes the table, primary key and all, before it copies; the peer is given the same one, empty."""
    work = f"PostgreSQL to MySQL, full load of {rows:,} rows, one table"
    with servers.pair() as pair, servers.mysql() as target:
        say(f"{work}: writing the rows")
        pair.source.sql(mixed.SCHEMA)
        pair.source.sql(f"INSERT INTO mixed {mixed.ROWS.format(first=1, last=rows)}")
        pair.source.sql("VACUUM ANALYZE mixed")
        whole = mixed_mysql.digest_of_postgres(pair.source, "public", TAG)
        daemon = Cdcd(Ends(address(pair.source), mysql_address(target, TARGET), "public.mixed"))
        made: list[str] = []

        def cdcd(run: int) -> float:
            target.sql("DROP TABLE IF EXISTS mixed")
            with Look(pair.source) as first, clock_mysql.Look(target) as last:
                daemon.launch(run, load="full")
                begun = first.reading(daemon.check)
                ended = last.true(ALL_IN, daemon.check)
            daemon.stop(run)
            daemon.drop(run)
            mixed_mysql.verify(whole, mixed_mysql.digest(target))
            made[:] = [str(target.sql("SHOW CREATE TABLE mixed")[0][1])]
            return ended - begun

        def peer(run: int) -> float:
            target.sql("DROP TABLE IF EXISTS mixed", *made)
            with Look(pair.source) as first:
                took = _by_file(servers, pair, target, first)
            mixed_mysql.verify(whole, mixed_mysql.digest(target))
            return took

        seconds = rounds({"cdcd": cdcd, "COPY, LOAD DATA": peer}, rows, runs, say)
    return Ratio(work, "COPY to a file, LOAD DATA", rows, seconds, at_least, aim)


def _by_file(servers: Servers, pair: Pair, target: MySQLDatabase, look: Look) -> float:
    """Seconds from the first byte of COPY to the end of LOAD DATA's transaction."""
    file = run_directory.directory() / "mixed.copy"
    server = target.server
    connection = pymysql.connect(
        host=server.host, port=server.port, user=APP, password=PASSWORDS[APP], database=target.name,
        autocommit=True, charset="utf8mb4", local_infile=True,
    )  # fmt: skip
    try:
        with file.open("wb") as out:
            process = start(servers, pair.source, COPY, stdout=out)
            begun = look.reading(lambda: None)
            if process.wait():
                raise RuntimeError("psql failed")
        with connection.cursor() as cursor:
            cursor.execute(LOAD, (str(file),))
        return time.monotonic() - begun
    finally:
        connection.close()
        file.unlink()
