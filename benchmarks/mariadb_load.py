"""Copying one table whole from MariaDB into PostgreSQL, against pgloader (which cannot log in to MySQL 9)."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import clock_mysql, mixed_mysql
from benchmarks.clock import Look, until
from benchmarks.contenders import Cdcd
from benchmarks.load import ALL_IN
from benchmarks.peers import pgloader
from benchmarks.result import Ratio
from benchmarks.rounds import rounds
from benchmarks.servers import Ends, Servers, address, mysql_address
from tests.servers import run as run_directory
from tests.servers.roles import SOURCE

Say = Callable[[str], None]

LOGIN = "pgloader"
"""Its user and its password, on both servers."""


def measure(servers: Servers, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """In turn; both make the table, the primary key before or after it as they like. The clock runs from the first rows
    sent to the durable end: with cdcd the last chunk, with pgloader the end of the program, which makes the key."""
    pgloader.require()
    work = f"MariaDB to PostgreSQL, full load of {rows:,} rows, one table"
    directory = run_directory.directory()
    with servers.mysql("mariadb") as source, servers.target() as target:
        mixed_mysql.make(source)
        say(f"{work}: writing the rows")
        mixed_mysql.Backlog("inserts", rows, 1000).write(source, 1)
        whole = mixed_mysql.digest(source)
        source.admin(f"CREATE USER {LOGIN} IDENTIFIED BY '{LOGIN}'")
        source.admin(f"GRANT SELECT ON {source.name}.* TO {LOGIN}")
        target.admin(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{LOGIN}'")
        target.admin(f"GRANT CREATE ON DATABASE {target.name} TO {LOGIN}")
        daemon = Cdcd(Ends(mysql_address(source, SOURCE), address(target), f"{source.name}.mixed"))

        def empty() -> None:
            target.admin(f"DROP SCHEMA IF EXISTS {source.name} CASCADE")
            target.admin("CHECKPOINT")

        def cdcd(run: int) -> float:
            empty()
            with clock_mysql.Look(source) as first, Look(target) as last:
                daemon.launch(run, load="full")
                begun = first.sending(daemon.check)
                ended = last.durable(daemon.check, ALL_IN)
            daemon.stop(run)
            daemon.drop(run)
            mixed_mysql.verify(whole, mixed_mysql.digest_of_postgres(target, source.name))
            return ended - begun

        def peer(run: int) -> float:
            empty()
            log = directory / "pgloader.log"
            ends = [
                f"{scheme}://{LOGIN}:{LOGIN}@{end.server.host}:{end.server.port}/{end.name}"
                for scheme, end in (("mysql", source), ("postgresql", target))
            ]
            with clock_mysql.Look(source) as first, Look(target) as last:
                process = pgloader.start(ends[0], ends[1], directory, log)

                def alive() -> None:
                    if process.poll() not in (None, 0):
                        raise RuntimeError(f"pgloader ended with {process.returncode}: {log.read_text()[-2000:]}")

                begun = first.sending(alive)
                until(lambda: process.poll() == 0, alive, "pgloader to end")
                ended = last.durable(alive, "SELECT true")
            mixed_mysql.verify(whole, mixed_mysql.digest_of_postgres(target, source.name))
            return ended - begun

        try:
            seconds = rounds({"cdcd": cdcd, "pgloader": peer}, rows, runs, say)
        finally:
            empty()
            target.admin(f"DROP OWNED BY {LOGIN}; DROP ROLE {LOGIN}")
    return Ratio(work, "pgloader", rows, seconds, at_least, aim)
