"""The most memory the daemon ever holds while it carries one huge transaction of MySQL."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import clock_mysql, mixed_mysql
from benchmarks.clock import Look
from benchmarks.contenders import Cdcd
from benchmarks.from_mysql import copy
from benchmarks.memory import Most
from benchmarks.result import Memory
from benchmarks.servers import Ends, Servers, address, mysql_address
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.roles import SOURCE, TARGET

Say = Callable[[str], None]
Done = Callable[[Callable[[], None]], float]


def into_mysql(servers: Servers, rows: int, at_most: float, aim: float, say: Say) -> Memory:
    work = f"memory: MySQL to MySQL, a transaction of {rows:,} rows"
    with servers.mysql() as source, servers.mysql(name="bench") as target, clock_mysql.Look(target) as look:
        ends = Ends(mysql_address(source, SOURCE), mysql_address(target, TARGET), f"{source.name}.m*")
        megabytes = _of(source, ends, rows, lambda alive: look.marked(1, alive), lambda text: say(f"{work}: {text}"))
        mixed_mysql.verify(mixed_mysql.digest(source), mixed_mysql.digest(target))
    return Memory(work, megabytes, at_most, aim)


def into_postgres(servers: Servers, rows: int, at_most: float, aim: float, say: Say) -> Memory:
    work = f"memory: MySQL to PostgreSQL, a transaction of {rows:,} rows"
    with servers.mysql() as source, servers.target() as target, Look(target) as look:
        ends = Ends(mysql_address(source, SOURCE), address(target), f"{source.name}.m*")
        there = f"SELECT count(*) = 1 FROM {source.name}.marker"
        megabytes = _of(
            source, ends, rows, lambda alive: look.durable(alive, there), lambda text: say(f"{work}: {text}")
        )
        mixed_mysql.verify(mixed_mysql.digest(source), mixed_mysql.digest_of_postgres(target, source.name))
    return Memory(work, megabytes, at_most, aim)


def _of(source: MySQLDatabase, ends: Ends, rows: int, done: Done, say: Say) -> float:
    """Megabytes: VmHWM of all the daemon's processes, added up; its settings are the defaults."""
    mixed_mysql.make(source)
    daemon = Cdcd(ends)
    copy(daemon)
    daemon.prepare(0)
    mixed_mysql.Backlog("inserts", rows, rows).write(source, 1)
    with clock_mysql.Look(source) as look:
        daemon.start(0)
        most = Most(daemon.pid)
        begun = look.dumping(daemon.check)
        ended = done(daemon.check)
    megabytes = most.stop()
    daemon.stop(0)
    say(f"{megabytes:,.0f} MB, {rows / (ended - begun):,.0f} rows/s")
    return megabytes
