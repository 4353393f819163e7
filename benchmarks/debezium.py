"""`cdcd tail` writing JSON lines to a file, against Debezium's embedded engine doing the same.

In turn. Debezium's virtual machine stays, and has read the whole backlog once before the first run that counts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import mixed_mysql
from benchmarks.clock import Watch, place
from benchmarks.clock_mysql import Look, end_dumps
from benchmarks.contenders import CDCD, PUBLICATION
from benchmarks.mixed import Backlog
from benchmarks.peers.debezium import Debezium
from benchmarks.result import Ratio
from benchmarks.rounds import Turn, rounds
from benchmarks.servers import Pair, Servers, environment, mysql_address
from benchmarks.tail import Alive, Command, cdcd, to_file, written
from tests.servers import run as run_directory
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.roles import PASSWORDS, SOURCE

Say = Callable[[str], None]

COMMON = {
    "name": "bench",
    "topic.prefix": "bench",
    "converter.schemas.enable": "false",
    "snapshot.mode": "no_data",
}


def postgres(servers: Servers, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """Each run with a slot that stands before the backlog; the clock runs from the first byte sent from it."""
    backlog = Backlog("inserts", rows, 1000)
    with servers.pair() as pair, Debezium(run_directory.directory()) as debezium:
        backlog.fill(pair)
        pair.source.sql(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE mixed, marker")
        slots = [f"json_{number}" for number in range(2 * runs + 1)]
        for slot in slots:
            pair.source.admin(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        start = place(pair)
        backlog.write(pair.source)

        def one(name: str) -> float:
            pair.checkpoint()
            slot = slots.pop()

            def begun(alive: Alive) -> float:
                with Watch(pair) as watch:
                    return watch.begun(slot, start, alive)

            if name == "cdcd":
                return _cdcd(cdcd(pair, slot), "public.marker", begun)
            return _debezium(debezium, _of_postgres(pair, slot), '"table":"marker"', begun)

        return _measured(f"PostgreSQL to JSON lines (tail), {rows:,} inserts", rows, runs, at_least, aim, say, one)


def mysql(servers: Servers, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """Each run from the same place in the log; the clock runs from the server's beginning to send it."""
    directory = run_directory.directory()
    with servers.mysql() as database, Debezium(directory) as debezium:
        mixed_mysql.make(database)
        properties = _of_mysql(database, directory)
        debezium.start({**properties, "peer.output": str(directory / "json.out"), "peer.last": '"after":{"id":1}'})
        with Look(database) as look:
            look.dumping(debezium.alive)
        mixed_mysql.Backlog("inserts", 0, 1000).write(database, 1)
        debezium.done()
        start = mixed_mysql.executed(database)
        mixed_mysql.Backlog("inserts", rows, 1000).write(database, 2)

        def begun(alive: Alive) -> float:
            with Look(database) as look:
                return look.dumping(alive)

        def one(name: str) -> float:
            end_dumps(database)
            if name == "cdcd":
                url = mysql_address(database, SOURCE)
                command = [CDCD, "tail", url, "--since", start, "--tables", f"{database.name}.m*"]
                return _cdcd((command, environment()), f"{database.name}.marker", begun)
            with _kept(directory, properties) as copies:
                return _debezium(debezium, copies, '"after":{"id":2}', begun)

        return _measured(f"MySQL to JSON lines (tail), {rows:,} inserts", rows, runs, at_least, aim, say, one)


def _measured(
    work: str, rows: int, runs: int, at_least: float, aim: float, say: Say, one: Callable[[str], float]
) -> Ratio:
    say(work)
    say(f"  Debezium warms up: {one('Debezium'):.2f} s")

    def turn(name: str) -> Turn:
        return lambda _: one(name)

    seconds = rounds({name: turn(name) for name in ("cdcd", "Debezium")}, rows, runs, say)
    return Ratio(work, "Debezium 3.6, embedded", rows, seconds, at_least, aim)


def _cdcd(started: Command, last: str, begun: Callable[[Alive], float]) -> float:
    output = run_directory.directory() / "json.out"
    try:
        return to_file("cdcd", started, output, last.encode(), begun)
    finally:
        output.unlink()


def _debezium(
    debezium: Debezium, properties: Mapping[str, str], last: str, begun: Callable[[Alive], float]
) -> float:
    output = run_directory.directory() / "json.out"
    output.touch()
    debezium.start({**properties, "peer.output": str(output), "peer.last": last})
    seconds = -begun(debezium.alive) + written(output, last.encode(), debezium.alive)
    debezium.done()
    output.unlink()
    return seconds


def _of_postgres(pair: Pair, slot: str) -> Mapping[str, str]:
    server = pair.source.server
    return {
        **COMMON,
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
        "database.hostname": server.host, "database.port": str(server.port), "database.dbname": pair.source.name,
        "database.user": pair.source.role, "database.password": PASSWORDS[pair.source.role],
        "plugin.name": "pgoutput", "slot.name": slot,
        "publication.name": PUBLICATION, "publication.autocreate.mode": "disabled",
    }  # fmt: skip


def _of_mysql(database: MySQLDatabase, directory: Path) -> Mapping[str, str]:
    server = database.server
    return {
        **COMMON,
        "connector.class": "io.debezium.connector.mysql.MySqlConnector",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": str(directory / "offsets"), "offset.flush.interval.ms": "100",
        "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
        "schema.history.internal.file.filename": str(directory / "history"),
        "database.hostname": server.host, "database.port": str(server.port), "database.server.id": "7001",
        "database.user": SOURCE, "database.password": PASSWORDS[SOURCE],
        "database.include.list": database.name, "snapshot.locking.mode": "none",
        "table.include.list": f"{database.name}.mixed,{database.name}.marker",
        "driver.allowPublicKeyRetrieval": "true", "database.ssl.mode": "disabled",
    }  # fmt: skip


@contextmanager
def _kept(directory: Path, properties: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The same, with copies of its files, so that they are there unchanged for the next run."""
    files = {"offset.storage.file.filename": "offsets", "schema.history.internal.file.filename": "history"}
    for name in files.values():
        shutil.copyfile(directory / name, directory / f"{name}.run")
    yield {**properties, **{key: str(directory / f"{name}.run") for key, name in files.items()}}
