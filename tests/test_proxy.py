"""The proxy of the tests: what it does to a connection, seen from both of its ends."""

import threading
import time

import psycopg2
import pytest

from tests.servers import Database
from tests.servers.address import connect
from tests.servers.messages import Session
from tests.servers.proxy import Direction, Proxy
from tests.waiting import wait_until


@pytest.fixture
def table(source_db: Database) -> Database:
    source_db.sql("CREATE TABLE t (a int PRIMARY KEY)")
    return source_db


def insert_and_commit(url: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.cursor().execute("INSERT INTO t VALUES (1)")
        connection.commit()
    finally:
        connection.close()


def test_passes(table: Database, source_proxy: Proxy) -> None:
    insert_and_commit(source_proxy.url(table.url))
    assert table.sql("SELECT a FROM t") == [(1,)]
    wait_until(lambda: source_proxy.connections == 0, what="the proxy to see the end")
    assert source_proxy.accepted == 1


def test_large_answer(table: Database, source_proxy: Proxy) -> None:
    connection = connect(source_proxy.url(table.url))
    with connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 20000000), %s", ("y" * 5000000,))
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    assert [len(cell) for cell in row] == [20000000, 5000000]


def test_cut_at_commit(table: Database, source_proxy: Proxy) -> None:
    trap = source_proxy.cut_at(r"^\s*commit")
    with pytest.raises(psycopg2.OperationalError):
        insert_and_commit(source_proxy.url(table.url))
    trap.wait(0)
    assert table.sql("SELECT a FROM t") == []


def test_drop_answer_of_commit(table: Database, source_proxy: Proxy) -> None:
    trap = source_proxy.drop_answer_of(r"^\s*commit")
    with pytest.raises(psycopg2.OperationalError):
        insert_and_commit(source_proxy.url(table.url))
    trap.wait(0)
    assert table.sql("SELECT a FROM t") == [(1,)]


def test_delay_answer(table: Database, source_proxy: Proxy) -> None:
    trap = source_proxy.delay_answer_of("commit", 0.5)
    began = time.monotonic()
    insert_and_commit(source_proxy.url(table.url))
    assert time.monotonic() - began > 0.5
    trap.wait(0)


def test_hold_and_release(table: Database, source_proxy: Proxy) -> None:
    trap = source_proxy.hold(Direction.TO_SERVER, lambda message: "COMMIT" in message.sql)
    client = threading.Thread(target=insert_and_commit, args=[source_proxy.url(table.url)])
    client.start()
    trap.wait()
    assert table.sql("SELECT a FROM t") == []
    trap.release()
    client.join(30)
    assert table.sql("SELECT a FROM t") == [(1,)]


def test_silence_and_resume(table: Database, source_proxy: Proxy) -> None:
    connection = connect(source_proxy.url(table.url))
    source_proxy.silence(Direction.TO_CLIENT)
    client = threading.Thread(target=lambda: connection.cursor().execute("INSERT INTO t VALUES (1)"))
    client.start()
    wait_until(lambda: table.sql("SELECT a FROM t"), what="the statement to arrive")
    client.join(0.2)
    assert client.is_alive()
    source_proxy.resume()
    client.join(30)
    assert not client.is_alive()
    connection.close()


def test_cut_and_refuse(table: Database, source_proxy: Proxy) -> None:
    connection = connect(source_proxy.url(table.url))
    assert source_proxy.cut() == 1
    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT 1")
    source_proxy.refuse()
    with pytest.raises(psycopg2.OperationalError):
        connect(source_proxy.url(table.url))
    source_proxy.refuse(False)
    connect(source_proxy.url(table.url)).close()


def test_framing_at_every_split() -> None:
    startup = b"\0\0\0\x15\0\3\0\0user\0app\0x\0\0\0"
    sent = b"\0\0\0\x08\x04\xd2\x16\x2f" + startup + b"Q\0\0\0\x0bCOMMIT\0" + b"X\0\0\0\4"
    for split in range(len(sent) + 1):
        session, inbox, seen = Session(1), bytearray(), []
        for part in (sent[:split], sent[split:]):
            inbox += part
            while (message := session.take(Direction.TO_SERVER, inbox)) is not None:
                seen.append((message.kind, message.sql, message.turn))
        assert seen == [("", "", 1), ("", "", 1), ("Q", "COMMIT", 2), ("X", "", 3)]
        assert session.parameters["user"] == "app"
