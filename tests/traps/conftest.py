"""A source of each trap's own, and a quiet server where the order of single log records matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cdcd.contracts import Source
from cdcd.engine import side
from connectors.postgres.source import PostgresSource
from tests.servers import make_roles
from tests.servers.database import Database, make_source
from tests.servers.postgres import Postgres

QUIET = {
    "autovacuum": "off",
    "bgwriter_delay": "10s",  # it logs running transactions
    "checkpoint_timeout": "1h",
    "wal_writer_delay": "10ms",  # slot creation waits for it to flush what was logged last
}
"""Nothing writes to the log but the test."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline in a thread of the test looks at the source's head, and for wishes, all the time."""
    monkeypatch.setattr(side, "HEAD", 0.1)
    monkeypatch.setattr(side, "WISHES", 0.1)


@pytest.fixture(scope="module")
def quiet() -> Iterator[Postgres]:
    """A server of the module's own, to be crashed, stopped in a debugger, or left without its standby."""
    with Postgres.start(18, QUIET, initdb=("--no-data-checksums",)) as server:
        make_roles(server)
        yield server


@pytest.fixture
def quiet_db(quiet: Postgres) -> Iterator[Database]:
    """A fresh source database on the quiet server."""
    database = make_source(quiet)
    yield database
    database.drop()


Sources = Callable[..., Source]


@pytest.fixture
def open_source() -> Iterator[Sources]:
    """Makes sources as cdcd does, for a database; they are interrupted and closed with the test."""
    made: list[Any] = []

    def make(database: Database, url: str | None = None, **options: Any) -> Source:
        source: Any = PostgresSource(url or database.url, database.name, **options)
        made.append(source)
        return made[-1]  # type: ignore[no-any-return]

    yield make
    for source in made:
        source.interrupt()
        source.close()
