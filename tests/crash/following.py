"""A pipeline between two databases as a process: its command line, and the proof at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.crash.workload import FILL, SCHEMA, TABLES
from tests.equality import assert_equal, wait_equal
from tests.fix_daemon import Daemon
from tests.servers import Database, make_roles
from tests.servers.database import make_source, make_target
from tests.servers.postgres import Postgres
from tests.waiting import wait_until

Cdcd = Callable[..., Daemon]


def words(source: Database, target: Database, *more: str, source_url: str = "", target_url: str = "") -> list[str]:
    """`cdcd run` between them, by way of other URLs where some are given."""
    ends = ["--from", source_url or source.url, "--to", target_url or target.url, "--name", source.name]
    return ["run", *ends, *more]


def filled(source: Database) -> Database:
    """With the workload's tables and their first rows."""
    source.sql(SCHEMA)
    source.sql(FILL)
    return source


def settled(cdcd: Cdcd, daemon: Daemon, source: Database, target: Database, tables: Sequence[str] = TABLES) -> None:
    """The workload has ended and the daemon still runs: equal within its time, and equal after one more run to the
    source's end, which would do again whatever was done twice."""
    wait_equal(source, target, tables, 60)
    daemon.stop()
    cdcd(*words(source, target, "--until", "caught-up")).wait(0, 60)
    assert_equal(source, target, tables)


def arrives(daemon: Daemon, source: Database, target: Database, insert: str, look: str, limit: float = 30) -> None:
    """What is written now at the source reaches the target by this daemon."""
    source.sql(insert)

    def there() -> bool:
        assert daemon.running, f"exit {daemon.process.returncode}:\n{daemon.text()[-4000:]}"
        return target.sql(look) != []

    wait_until(there, limit, f"{insert} to arrive")


@contextmanager
def own_pair(**settings: object) -> Iterator[tuple[Postgres, Postgres]]:
    """Two servers of a test's own, to be killed: what they wrote is with the operating system and outlives that."""
    with ExitStack() as both:
        servers = [both.enter_context(Postgres.start(18, settings=settings)) for _ in range(2)]
        for server in servers:
            make_roles(server)
        yield servers[0], servers[1]


@contextmanager
def databases(servers: tuple[Postgres, Postgres]) -> Iterator[tuple[Database, Database]]:
    """A source and a target on them; they go with the servers' directories, or with this block."""
    source, target = make_source(servers[0]), make_target(servers[1])
    yield source, target
    source.drop()
    target.drop()
