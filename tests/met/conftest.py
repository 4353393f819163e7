"""The pair that a test is about, in each of the roles and versions that it is run with."""

from collections.abc import Callable

import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.servers import Database
from tests.servers.roles import TARGET, TARGET_REPLICA


@pytest.fixture
def pair(source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]) -> Pair:
    """PostgreSQL 18 to 18; the target's role may not switch triggers off."""
    return Pair(source_db, target_db, cdcd)


@pytest.fixture(params=[TARGET, TARGET_REPLICA])
def pair_in_roles(
    request: pytest.FixtureRequest, source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]
) -> Pair:
    """The same, with and without the right to set session_replication_role."""
    return Pair(source_db, target_db.as_role(request.param), cdcd)
