"""What ends a dump, on real servers: each meaning of the one number is named, with what to do; and a dead line is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from cdcd.errors import CdcdError, OtherServer, SlotInUse, SlotLost, StateRefused, Stopped, Transient, Unreachable
from cdcd.model.group import Group
from cdcd.wake import Wake
from connectors.mysql import dump, events, follow
from connectors.mysql.connect import connect
from connectors.mysql.errors import named
from connectors.mysql.gtid import NOTHING, GtidSet
from connectors.mysql.position import Domains, Gtids, Offset, Place
from connectors.mysql.server import read_server
from tests.mysql.test_source_stream import TABLE, WITHOUT_GTIDS, reading, session
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

WORDS = (
    ("Misconfigured source - source server_id was not set", Stopped, "server_id"),
    ("Cannot replicate because the source purged required binary logs.", SlotLost, "expire_logs"),
    ("Could not find GTID state requested by slave in any binlog files.", SlotLost, "expire_logs"),
    ("log event entry exceeded max_allowed_packet; Increase max_allowed_packet", Stopped, "max_allowed_packet"),
    ("Event crc check failed! Most likely there is event corruption.", Stopped, "mysqlbinlog"),
    ("I/O error reading log event", Stopped, "mysqlbinlog"),
    ("Binary log is not open", Stopped, "--log-bin"),
    ("Cannot replicate anonymous transaction when AUTO_POSITION = 1, at file x", StateRefused, "gtid_mode"),
    ("memory allocation failed reading log event", Transient, "memory"),
    ("something that no server has said so far", Stopped, "report"),
)
"""Those that are not provoked below, as the servers' sources have them."""


@pytest.mark.failure("MY-25")
def test_the_words_of_the_one_number() -> None:
    for words, kind, advice in WORDS:
        made = named(1236, words)
        assert type(made) is kind and advice in made.hint, words


def ended(database: MySQLDatabase, place: Place) -> CdcdError:
    """The error that a dump from there on ends with."""
    connection = connect(database.url)
    with pytest.raises(CdcdError) as told:
        server = read_server(connection)
        wire, _ = dump.start_dump(lambda: connection, Wake(), server, f"ends_{database.name}", place, NOTHING)
        with closing(wire):
            while True:
                wire.packet(20)
    return told.value


@pytest.mark.failure("MY-25")
def test_what_ends_a_dump(mysql_db: MySQLDatabase, mysql_servers: Callable[..., MySQL]) -> None:
    """Asked for what is not there, which the source itself looks for before; and of a log that is damaged."""
    server = mysql_db.server
    mysql_db.sql(TABLE, "INSERT INTO t (id, a) VALUES (1, REPEAT('x', 100))")
    file = str(server.execute("SHOW BINARY LOGS")[-1][0])
    mysql = server.product == "mysql"
    own = str(server.execute("SELECT @@GLOBAL.server_uuid")[0][0]) if mysql else ""
    ahead = Gtids(GtidSet.parse(f"{own}:1-9999999")) if mysql else Domains.parse("0-77-1")
    asked: tuple[tuple[Place, type[CdcdError], str], ...] = (
        (Offset("binlog.999999", 4), SlotLost, "expire_logs"), (Offset(file, 1 << 31), OtherServer, "history"),
        (Offset(file, 1), OtherServer, "history"), (Offset(file, 130), Stopped, "damaged"),
        (ahead, OtherServer, "history"),
    )  # fmt: skip
    for place, kind, advice in asked:
        error = ended(mysql_db, place)
        assert type(error) is kind and advice in error.hint, (place, error)
    session(mysql_db, "FLUSH BINARY LOGS")
    path = server.data / file
    whole = path.read_bytes()
    at = whole.rindex(b"x" * 100)
    try:
        path.write_bytes(whole[: at - 60] + b"\xff" * 40 + whole[at - 20 :])
        error = ended(mysql_db, Offset(file, 4))
        assert type(error) is Stopped and "damaged" in error.hint, error
    finally:
        path.write_bytes(whole)


@pytest.mark.failure("MY-25")
def test_gtids_are_asked_of_a_server_that_has_none(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> None:
    database = mysql_on(mysql_servers("mysql", "without GTIDs", **WITHOUT_GTIDS))
    error = ended(database, Gtids(NOTHING))
    assert type(error) is StateRefused and "gtid_mode" in error.hint


@pytest.mark.failure("MY-19")
def test_a_place_that_needs_more_than_four_bytes(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> None:
    """The command has no more: the file comes from its beginning."""
    database = mysql_on(mysql_servers("mysql", "without GTIDs", **WITHOUT_GTIDS))
    file = str(database.server.execute("SHOW BINARY LOGS")[-1][0])
    connection = connect(database.url)
    server = read_server(connection)
    beyond = Offset(file, (1 << 32) + 500)
    wire, again = dump.start_dump(lambda: connection, Wake(), server, f"ends_{database.name}", beyond, NOTHING)
    with closing(wire):
        assert not again and events.rotate(wire.packet(20)[20:-4]) == (file, 4)


@pytest.mark.failure("MY-25")
def test_a_row_that_is_damaged_in_the_log(mysql_db: MySQLDatabase) -> None:
    """The server sends it: its sum is wrong, and it is not read."""
    mysql_db.sql(TABLE)
    with reading(mysql_db) as reader:
        mysql_db.sql("INSERT INTO t (id, a) VALUES (1, REPEAT('q', 90))")
    file = str(mysql_db.server.execute("SHOW BINARY LOGS")[-1][0])
    session(mysql_db, "FLUSH BINARY LOGS")
    path = mysql_db.server.data / file
    whole = path.read_bytes()
    try:
        path.write_bytes(whole.replace(b"q" * 90, b"q" * 50 + b"r" * 40))
        with reading(mysql_db, checkpoint=reader.checkpoint) as again, pytest.raises(Stopped, match="checksum"):
            again.events()
    finally:
        path.write_bytes(whole)


@pytest.mark.failure("MY-13")
def test_two_readers_of_one_name(mysql_db: MySQLDatabase) -> None:
    """The first stops, and says why: to go on would end the second, for ever in turn. Others are not touched; all show
    at the server, by a number and a name of their own."""
    mysql_db.sql(TABLE)
    with reading(mysql_db) as first, reading(mysql_db) as second:
        mysql_db.sql("INSERT INTO t (id) VALUES (1)")
        with pytest.raises(SlotInUse, match=r"same server_(uuid/server_)?id") as told:  # MariaDB 11 names the one
            first.events()
        assert "name" in told.value.hint and not told.value.retryable  # or they would end each other for ever
        assert [event[2][0] for event in second.events()] == ["1"]
        shown = mysql_db.server.execute("SHOW " + ("REPLICAS" if mysql_db.server.product == "mysql" else "SLAVE HOSTS"))
        mine = [row for row in shown if row[1] == f"cdcd/test_{mysql_db.name}"[:60]]
        assert [row[0] for row in mine] == [dump.server_id(f"test_{mysql_db.name}")]
        assert all(1 << 31 <= int(row[0]) < 1 << 32 for row in mine)


@pytest.mark.failure("OP-01")
def test_a_line_on_which_nothing_comes(mysql_db: MySQLDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle server says so in time; one that says nothing is gone after a while."""
    monkeypatch.setattr(dump, "HEARTBEAT", 1)
    monkeypatch.setattr(follow, "SILENCE", 3.0)
    mysql_db.sql(TABLE)
    with reading(mysql_db) as reader:
        for _ in range(4):
            assert reader.source.read(Group(), None, 1.0) is not None
        mysql_db.server.pause()
        try:
            with pytest.raises(Unreachable, match="said nothing"):
                wait_until(lambda: reader.source.read(Group(), None, 1.0) is None, 15, "the silence to be noticed")
        finally:
            mysql_db.server.resume()
