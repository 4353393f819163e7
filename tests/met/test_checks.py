"""What would fail after hours is told before the first byte, exit 3, and nothing is left behind."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.met.test_stops import T, stopped
from tests.servers import Database, Postgres, make_roles
from tests.servers.database import make_source
from tests.servers.pooler import pooled
from tests.servers.proxy import CUT, Action, Direction, Message, Proxy
from tests.waiting import wait_until


def untouched(pair: Pair) -> None:
    """Nothing was made at either end but the control tables."""
    assert pair.slots() == []
    assert pair.source.admin("SELECT pubname FROM pg_publication") == []
    made = "SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    assert pair.target.admin(made) == []


@pytest.mark.failure("PG-27", "PG-05")
def test_rights_and_keys_of_one_table_of_fifty(pair: Pair) -> None:
    """All that is wrong at once, each with the statement that mends it; those are enough."""
    pair.source.sql("".join(f"CREATE TABLE t{i} (id int PRIMARY KEY);" for i in range(48)))
    pair.source.sql("CREATE TABLE bare (a int)")
    pair.source.admin("CREATE TABLE theirs (id int PRIMARY KEY)")
    pair.source.sql("INSERT INTO bare VALUES (1)")
    daemon = pair.run(code=3)
    stopped(daemon, "3 things would go wrong", "[PG-SELECT] public.theirs", "GRANT SELECT ON", "[PG-NO-IDENTITY]")
    untouched(pair)
    pair.source.sql("UPDATE bare SET a = 2")
    pair.run("--tables", "public.t*,!public.theirs", limit=90)
    assert pair.target.sql("SELECT count(*) FROM cdcd.tables") == [(48,)]


@pytest.fixture
def meagre() -> Iterator[Database]:
    """A source on a server whose settings do not do, with one that follows it."""
    settings = {"wal_level": "replica", "max_replication_slots": 0, "max_wal_senders": 1}
    with Postgres.start(18, settings=settings) as server:
        make_roles(server)
        yield make_source(server)


@pytest.mark.failure("PG-27", "PG-26")
def test_settings_of_the_source_and_a_standby(pair: Pair, meagre: Database) -> None:
    meagre.sql(T)
    pair = replace(pair, source=meagre)
    daemon = pair.run(code=3)
    stopped(daemon, "[PG-WAL-LEVEL]", "ALTER SYSTEM SET wal_level = 'logical'", "[PG-SLOTS]", "[PG-SENDERS]")
    untouched(pair)
    server = meagre.server
    assert isinstance(server, Postgres)
    (server.data / "standby.signal").touch()
    server.restart(settings={"wal_level": "logical", "max_replication_slots": 9, "max_wal_senders": 9})
    stopped(pair.run(code=3), "[PG-STANDBY] the source is a standby", "primary")


@pytest.mark.failure("PG-26")
def test_a_pooler_that_knows_no_replication(pair: Pair, source_proxy: Proxy) -> None:
    """It lets ordinary sessions pass, and ends the others."""

    def pool(message: Message) -> Action | None:
        return CUT if "replication" in message.parameters else None

    pair.source.sql(T)
    source_proxy.on_message(Direction.TO_SERVER, pool)
    stopped(
        pair.over(source=source_proxy.url(pair.source.url)).run(code=3), "[PG-REPLICATION-LOGIN]", "not to a pooler"
    )
    untouched(pair)


@pytest.mark.failure("PG-26")
def test_a_real_pooler_before_either_end(pair: Pair) -> None:
    """In transaction mode: none of what a session keeps is kept."""
    pair.source.sql(T)
    with pooled(pair.source.server) as pooler:
        source = pair.over(source=replace(pair.source, server=pooler).url)
        stopped(source.run(code=3), "[PG-REPLICATION-LOGIN]", "not to a pooler")
        untouched(pair)
    with pooled(pair.target.server, "session") as pooler:
        assert "PT-POOLER" not in pair.over(target=replace(pair.target, server=pooler).url).command("check").text()
    with pooled(pair.target.server) as pooler:
        target = pair.over(target=replace(pair.target, server=pooler).url)
        stopped(target.run(code=3), "[PT-POOLER]", "not to a pooler")
        untouched(pair)


@pytest.mark.failure("PG-06")
def test_a_start_behind_an_open_transaction(pair: Pair) -> None:
    """Who blocks is told; killed in the wait, nothing holds log back but what the next start takes over."""
    pair.source.sql(T)
    writer = pair.source.connect()
    writer.autocommit = False
    writer.cursor().execute("INSERT INTO t VALUES (1000, 'open')")
    pid = str(writer.info.backend_pid)
    daemon = pair.cdcd("run", *pair.ends)
    daemon.wait_said(pid)
    daemon.kill()
    again = pair.cdcd("run", *pair.ends)
    again.wait_said(pid)
    writer.commit()
    writer.close()
    pair.wait_equal("public.t")
    assert pair.slots() == [pair.slot]
    again.stop()
    pair.source.sql("DELETE FROM t")
    pair.command("drop", "--yes")
    writer = pair.source.connect()
    writer.autocommit = False
    writer.cursor().execute("INSERT INTO t VALUES (1, 'open')")
    third = pair.cdcd("run", *pair.ends, "--target-tables", "drop")
    third.wait_said(str(writer.info.backend_pid))
    third.stop()
    wait_until(lambda: pair.slots() == [], what="the half-made slot to go")
    writer.close()


def test_what_to_do_with_tables_that_are_there(pair: Pair) -> None:
    """create refuses rows; use leaves the table as it is made; truncate keeps it, drop makes it anew."""
    pair.source.sql(T)
    pair.target.sql("CREATE TABLE t (id bigint PRIMARY KEY, x text, more int DEFAULT 7)")
    pair.target.sql("INSERT INTO t VALUES (0, 'old')")
    stopped(pair.run(code=3), "holds rows at the target already")
    assert pair.target.sql("SELECT * FROM t") == [(0, "old", 7)]
    pair.run("--target-tables", "truncate")
    pair.equal("public.t")
    assert pair.target.sql("SELECT count(*) FROM t WHERE more = 7") == [(100,)]
    pair.command("drop", "--yes")
    pair.run("--target-tables", "drop")
    pair.equal("public.t")
    assert pair.target.sql("SELECT * FROM t LIMIT 1")[0] == (1, "x")
    pair.command("drop", "--yes")
    pair.target.sql("TRUNCATE t; ALTER TABLE t ADD more int DEFAULT 8")
    pair.source.sql("CREATE TABLE u (id int PRIMARY KEY)")
    daemon: Daemon = pair.run("--target-tables", "use", "--tables", "public.t")
    pair.equal("public.t")
    assert pair.target.sql("SELECT count(*) FROM t WHERE more = 8") == [(100,)]
    assert "Traceback" not in daemon.text()


@pytest.mark.failure("TG-04")
def test_triggers_at_the_target(pair_in_roles: Pair) -> None:
    """Switched off where the role may; else said before, and those that change rows refused."""
    pair, replica = pair_in_roles, "replica" in pair_in_roles.target.role
    audit = """
    CREATE TABLE t (id int PRIMARY KEY, x text); CREATE TABLE audit (id int PRIMARY KEY, t int);
    CREATE SEQUENCE s;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN INSERT INTO public.audit VALUES (nextval('public.s') + TG_ARGV[0]::int, NEW.id); RETURN NEW; END$$;
    """
    pair.source.sql(audit + "CREATE TRIGGER note AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note('0')")
    pair.target.sql(audit + "CREATE TRIGGER note AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note('1000')")
    pair.source.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 10) i")
    daemon = pair.follow("--target-tables", "use")
    pair.source.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(11, 20) i")
    pair.wait_equal("public.t")
    daemon.stop()
    pair.run("--target-tables", "use")
    again = pair.target.sql("SELECT count(*) FROM audit WHERE id > 1000")
    assert again == [(0,)] if replica else again == [(20,)]
    assert daemon.said("a trigger of public.t runs again") is not replica
    if replica:
        pair.equal("public.audit")
        return
    pair.command("drop", "--yes")
    pair.target.sql("DROP TRIGGER note ON t; TRUNCATE t, audit")
    pair.target.sql("CREATE TRIGGER early BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note('1000')")
    stopped(pair.run("--target-tables", "use", code=3), "[PT-TRIGGER]", "early", "DISABLE TRIGGER")
