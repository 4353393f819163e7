"""Servers of these tests' own, as they are killed."""

from collections.abc import Iterator

import pytest

from tests.crash.following import databases, own_pair
from tests.servers import Database
from tests.servers.postgres import Postgres


@pytest.fixture(scope="module")
def own_servers() -> Iterator[tuple[Postgres, Postgres]]:
    """Source and target: what they have written outlives a SIGKILL, what is in their memory does not."""
    with own_pair() as servers:
        yield servers


@pytest.fixture
def own(own_servers: tuple[Postgres, Postgres]) -> Iterator[tuple[Database, Database]]:
    """Fresh databases on them."""
    with databases(own_servers) as pair:
        yield pair
