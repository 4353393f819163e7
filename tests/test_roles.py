"""The least privileged roles: that they may do what cdcd needs, through a proxy too."""

import time

import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest

from tests.servers import Database
from tests.servers.address import execute
from tests.servers.proxy import Proxy
from tests.servers.roles import TARGET_REPLICA


def test_source_publishes_and_makes_a_slot(source_db: Database, source_proxy: Proxy) -> None:
    source_db.sql("CREATE TABLE t (a int PRIMARY KEY)")
    execute(source_db.url, "CREATE PUBLICATION p FOR TABLE t")
    trap = source_proxy.delay_answer_of("CREATE_REPLICATION_SLOT", 0.5)
    stream = psycopg2.connect(
        source_proxy.url(source_db.url), connection_factory=psycopg2.extras.LogicalReplicationConnection
    )
    with stream.cursor() as cursor:
        began = time.monotonic()
        cursor.create_replication_slot("roles", output_plugin="pgoutput")
        assert time.monotonic() - began > 0.5
        options = {"proto_version": "1", "publication_names": "p"}
        cursor.start_replication("roles", options=options)
        source_db.sql("INSERT INTO t VALUES (1)")
        source_proxy.cut(lambda parameters: "replication" in parameters)
        with pytest.raises(psycopg2.Error):
            while True:
                cursor.read_message()
    stream.close()
    trap.wait(0)
    assert source_db.server.slots(source_db.name) == ["roles"]


def test_target_owns_what_it_makes(target_db: Database) -> None:
    execute(target_db.url, "CREATE SCHEMA s; CREATE TABLE s.t (a int)")
    target_db.sql("INSERT INTO s.t VALUES (1)")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(target_db.url, "SET session_replication_role = replica")


def test_target_that_may_switch_triggers_off(target_db: Database) -> None:
    replica = target_db.as_role(TARGET_REPLICA)
    replica.sql("CREATE TABLE t (a int); SET session_replication_role = replica; INSERT INTO t VALUES (1)")
    assert replica.sql("SELECT a FROM t") == [(1,)]
