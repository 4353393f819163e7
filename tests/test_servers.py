"""The servers themselves: that they start, are reached with a password, and can be stopped and killed."""

import pytest

from tests.servers import Database, Postgres, Server


def test_versions(pg18: Server, pg18_target: Server, pg15: Server) -> None:
    assert (pg18.major, pg18_target.major, pg15.major) == (18, 18, 15)
    assert len({server.system_identifier for server in (pg18, pg18_target, pg15)}) == 3


def test_kill_restart() -> None:
    with Postgres.start(18) as server:
        server.execute("CREATE TABLE t AS SELECT 1 AS a")
        server.kill()
        assert not server.running
        server.restart()
        assert server.execute("SELECT a FROM t") == [(1,)]


@pytest.mark.parametrize("side", ["source_db", "target_db", "source_db15", "target_db15"])
def test_least_privilege(side: str, request: pytest.FixtureRequest) -> None:
    database: Database = request.getfixturevalue(side)
    database.sql("CREATE TABLE t (a int PRIMARY KEY)")
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)
    connection.close()
