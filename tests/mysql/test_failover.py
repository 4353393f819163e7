"""One pipeline, and another server than the one that it began with: a replica that takes over, by GTID."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cdcd.errors import OtherServer, SlotLost
from cdcd.model.position import Checkpoint
from tests.contract.reading import events
from tests.mysql.test_source_stream import Reader, purge, reading, session
from tests.servers.mysql import PASSWORD, MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until


@contextmanager
def replicating(primary: MySQL, replica: MySQL) -> Iterator[None]:
    """From now on; what is there before counts as done."""
    if primary.product == "mysql":
        ((done,),) = primary.execute("SELECT @@GLOBAL.gtid_executed")
        begin = [replica.reset, f"SET GLOBAL gtid_purged = '{done}'"]
        word, more = "SOURCE", "SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
        change, start, stop, end = "REPLICATION SOURCE", "START REPLICA", "STOP REPLICA", "RESET REPLICA ALL"
    else:
        ((done,),) = primary.execute("SELECT @@GLOBAL.gtid_binlog_pos")
        begin = [replica.reset, f"SET GLOBAL gtid_slave_pos = '{done}'"]
        word, more, change = "MASTER", "MASTER_USE_GTID = slave_pos", "MASTER"
        start, stop, end = "START SLAVE", "STOP SLAVE", "RESET SLAVE ALL"
    for text in (stop, end, *begin):
        replica.execute(text)
    where = f"{word}_HOST = %s, {word}_PORT = {primary.port}, {word}_USER = %s, {word}_PASSWORD = %s"
    replica.execute(f"CHANGE {change} TO {where}, {more}", primary.host, primary.user, PASSWORD)
    replica.execute(start)
    try:
        yield
    finally:
        replica.execute(stop)
        replica.execute(end)


def ids(reader: Reader) -> list[str]:
    return [event[2][0] for event in reader.events()]


@pytest.fixture
def pair(
    mysql_server: MySQL, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> Iterator[tuple[MySQLDatabase, MySQLDatabase, Checkpoint]]:
    """A database on a primary and on its replica, which has taken over and lacks nothing, and a place in between: of
    two rows inserted at the primary the first was read. The replica replicates no more."""
    replica = mysql_servers(mysql_server.product, "replica")
    if mysql_server.product == "mariadb":  # nothing of it comes to be in the replica's log
        session(mysql_on(mysql_server), "SET gtid_domain_id = 7", "CREATE TABLE before_it (id int PRIMARY KEY)")
    with replicating(mysql_server, replica):
        first = mysql_on(mysql_server)
        first.sql("CREATE TABLE t (id int PRIMARY KEY)")
        with reading(first) as reader:
            # Begun in another second than it was committed in, which both servers' logs must tell alike.
            first.sql("BEGIN", "INSERT INTO t VALUES (1)", "DO SLEEP(1.1)", "COMMIT")
            groups = reader.groups()
            assert groups[-1].position.covers(reader.source.head())
        first.sql("INSERT INTO t VALUES (2)")
        second = MySQLDatabase(replica, first.name)
        has = f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{first.name}'"
        rows = f"SELECT COUNT(*) FROM `{first.name}`.t"
        wait_until(lambda: replica.execute(has) == [(1,)] and replica.execute(rows) == [(2,)], what="the replica")
    yield first, second, Checkpoint(groups[-1].position)
    replica.execute(f"DROP DATABASE `{first.name}`")


@pytest.mark.failure("MY-02")
class TestAnotherServer:
    def test_a_replica_takes_over(self, pair: tuple[MySQLDatabase, MySQLDatabase, Checkpoint]) -> None:
        """The stream goes on from the same set; the server that was left, and lacks what came since, is refused."""
        first, second, place = pair
        second.sql("INSERT INTO t VALUES (3)")
        with reading(second, checkpoint=place) as reader:
            groups = reader.groups()
            assert [event[2][0] for event in events(groups)] == ["2", "3"]
            assert groups[-1].position.covers(reader.source.head())
            onward = Checkpoint(groups[-1].position)
        with reading(second, checkpoint=onward) as reader:
            second.sql("INSERT INTO t VALUES (4)")
            assert ids(reader) == ["4"]
        with pytest.raises(OtherServer), reading(first, checkpoint=onward) as reader:
            reader.events()

    @pytest.mark.failure("MY-01")
    def test_a_transaction_of_its_own(self, pair: tuple[MySQLDatabase, MySQLDatabase, Checkpoint]) -> None:
        """It is read where it is in the log; where it was purged, unread, that is said and nothing is read past it."""
        _, second, place = pair
        second.sql("INSERT INTO t VALUES (9)")
        with reading(second, checkpoint=place) as reader:
            assert ids(reader) == ["2", "9"]
        session(second, "FLUSH BINARY LOGS")
        purge(second)
        second.sql("INSERT INTO t VALUES (10)")
        with pytest.raises(SlotLost), reading(second, checkpoint=place) as reader:
            reader.events()

    def test_numbers_that_are_left_out(
        self, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
    ) -> None:
        """A place has gaps where the set has, and what fills them later is read."""
        database = mysql_on(mysql_servers("mysql"))
        database.sql("CREATE TABLE t (id int PRIMARY KEY)")
        origin = f"aaaaaaaa-0000-4000-8000-{int(database.name.rpartition('_')[2]):012}"
        with reading(database) as reader:
            for number, row in (1, 1), (7, 7), (3, 3):
                session(database, f"SET gtid_next = '{origin}:{number}'", f"INSERT INTO t VALUES ({row})")
            groups = reader.groups()
            assert [event[2][0] for event in events(groups)] == ["1", "7", "3"]
            place = Checkpoint(groups[-1].position)
            assert f"{origin}:1:3:7" in str(place.position)
        with reading(database, checkpoint=place) as reader:
            session(database, f"SET gtid_next = '{origin}:5'", "INSERT INTO t VALUES (5)")
            assert ids(reader) == ["5"]

    def test_a_server_that_is_behind(self, pair: tuple[MySQLDatabase, MySQLDatabase, Checkpoint]) -> None:
        """A replica that has not yet what was read elsewhere: refused, not read from where it is."""
        first, second, _ = pair
        with reading(first) as reader:
            first.sql("INSERT INTO t VALUES (5)")
            place = Checkpoint(reader.groups()[-1].position)
        with pytest.raises(OtherServer), reading(second, checkpoint=place) as reader:
            reader.events()
