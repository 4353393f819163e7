"""`cdcd tail --slot` writing JSON lines to a file, against Debezium's embedded engine doing the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.clock import Watch, place
from benchmarks.contenders import PUBLICATION
from benchmarks.mixed import Backlog
from benchmarks.peers.debezium import Debezium
from benchmarks.result import Ratio
from benchmarks.servers import Pair, Servers
from benchmarks.tail import cdcd, written
from deploy.demo.processes import start as spawn
from tests.servers import run as run_directory
from tests.servers.roles import PASSWORDS

Say = Callable[[str], None]

NAMES = ("cdcd", "Debezium")


def measure(servers: Servers, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """In turn, each time with a slot that stands before the backlog. Debezium's virtual machine stays, and has read the
    whole backlog once before the first run that counts."""
    backlog = Backlog("inserts", rows, 1000)
    work = f"PostgreSQL to JSON lines (tail), {rows:,} inserts"
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    with ExitStack() as stack:
        pair = stack.enter_context(servers.pair())
        backlog.fill(pair)
        pair.source.sql(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE mixed, marker")
        slots = [f"json_{number}" for number in range(2 * runs + 1)]
        for slot in slots:
            pair.source.admin(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        start = place(pair)
        backlog.write(pair.source)
        say(work)
        debezium = stack.enter_context(Debezium(run_directory.directory()))
        say(f"  Debezium warms up: {_debezium(pair, debezium, slots.pop(), start):.2f} s")
        for run in range(runs):
            for name in NAMES if run % 2 == 0 else reversed(NAMES):
                pair.checkpoint()
                slot = slots.pop()
                took = _cdcd(pair, slot, start) if name == "cdcd" else _debezium(pair, debezium, slot, start)
                seconds[name].append(took)
                say(f"  {run + 1}/{runs} {name}: {took:.2f} s, {rows / took:,.0f} rows/s")
    return Ratio(work, "Debezium 3.6, embedded", rows, seconds, at_least, aim)


def _cdcd(pair: Pair, slot: str, start: str) -> float:
    output, errors = (run_directory.directory() / f"json.{kind}" for kind in ("out", "err"))
    with output.open("wb") as out, errors.open("wb") as err, Watch(pair) as watch:
        process = spawn(*cdcd(pair, slot), out, err)

        def alive() -> None:
            if process.poll() not in (None, 0):
                raise RuntimeError(f"cdcd ended with exit code {process.returncode}: {errors.read_text()[-2000:]}")

        try:
            return -watch.begun(slot, start, alive) + written(output, b"public.marker", alive)
        finally:
            process.terminate()
            process.wait(15)
            output.unlink()


def _debezium(pair: Pair, debezium: Debezium, slot: str, start: str) -> float:
    output = run_directory.directory() / "debezium.out"
    output.touch()
    server = pair.source.server
    with Watch(pair) as watch:
        debezium.start({
            "name": "bench", "topic.prefix": "bench", "peer.output": str(output), "peer.last": '"table":"marker"',
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
            "converter.schemas.enable": "false", "snapshot.mode": "no_data",
            "database.hostname": server.host, "database.port": str(server.port), "database.dbname": pair.source.name,
            "database.user": pair.source.role, "database.password": PASSWORDS[pair.source.role],
            "plugin.name": "pgoutput", "slot.name": slot,
            "publication.name": PUBLICATION, "publication.autocreate.mode": "disabled",
        })  # fmt: skip
        began = watch.begun(slot, start, debezium.alive)
        ended = written(output, b'"table":"marker"', debezium.alive)
    debezium.done()
    output.unlink()
    return ended - began
