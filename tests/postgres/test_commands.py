"""status, reload and drop between real servers, and a password that changes while the daemon runs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.equality import wait_equal
from tests.fix_daemon import Daemon
from tests.servers.database import Database
from tests.servers.proxy import Direction, Proxy

Cdcd = Callable[..., Daemon]
TABLES = ["public.t"]


@pytest.fixture
def ends(source_db: Database, target_db: Database) -> list[str]:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, x text)")
    source_db.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 1000) i")
    return ["--from", source_db.url, "--to", target_db.url, "--name", source_db.name]


def status(run_cdcd: Cdcd, ends: list[str]) -> dict[str, Any]:
    told = run_cdcd("status", *ends, "--json").json()
    assert told["version"] == 1
    one: dict[str, Any] = told["pipelines"][0]
    return one


def test_status_from_nothing_to_dropped(
    ends: list[str], run_cdcd: Cdcd, source_db: Database, target_db: Database
) -> None:
    assert status(run_cdcd, ends)["sentence"] == "never started"
    run_cdcd("run", *ends, "--until", "caught-up")
    told = status(run_cdcd, ends)
    assert told["sentence"].startswith("consistent, durable to ")
    assert "nobody reads the slot" in told["sentence"]
    assert told["source"]["exists"] is True
    assert told["target"]["connected"] is False
    [table] = told["target"]["tables"]
    assert (table["id"], table["chunks_in"], table["rows"]) == ("public.t", table["chunks"], 1000)
    shown = run_cdcd("status", *ends).output.read_text()
    assert f"{source_db.name}: consistent" in shown
    assert "public.t: " in shown
    run_cdcd("drop", *ends, "--yes")
    assert status(run_cdcd, ends)["sentence"] == "never started"
    assert source_db.sql("SELECT 1 FROM pg_replication_slots WHERE database = current_database()") == []
    assert source_db.sql("SELECT 1 FROM pg_publication") == []
    assert target_db.sql("SELECT count(*) FROM t") == [(1000,)]


def test_status_says_which_end_is_away(ends: list[str], run_cdcd: Cdcd) -> None:
    away = [*ends[:2], "--to", "postgresql://u@127.0.0.1:1/d", *ends[4:]]
    told = run_cdcd("status", *away, "--json", code=4).json()["pipelines"][0]
    assert told["sentence"] == "the target cannot be asked"
    assert told["source"]["exists"] is False


def test_reload_with_the_daemon_and_without(
    ends: list[str], cdcd: Cdcd, run_cdcd: Cdcd, source_db: Database, target_db: Database
) -> None:
    refused = run_cdcd("reload", "public.t", *ends, code=6)
    assert "never started" in refused.text()
    with_daemon = cdcd("run", *ends)
    with_daemon.wait_said("consistent")
    target_db.sql("UPDATE t SET x = 'spoilt' WHERE id = 5")
    wrong = run_cdcd("reload", "public.tt", *ends, code=2)
    assert "did you mean public.t?" in wrong.text()
    said = run_cdcd("reload", "public.t", *ends, "--json").json()
    assert said["table"] == "public.t" and said["request"] > 0
    wait_equal(source_db, target_db, TABLES)
    with_daemon.stop()
    target_db.sql("DELETE FROM t WHERE id > 990")
    assert "when one is started next" in run_cdcd("reload", "public.t", *ends).output.read_text()
    without = cdcd("run", *ends)
    wait_equal(source_db, target_db, TABLES)
    without.stop()
    assert status(run_cdcd, ends)["target"]["requests"] == []


def test_drop_refuses_while_a_daemon_lives(ends: list[str], cdcd: Cdcd, run_cdcd: Cdcd, target_db: Database) -> None:
    daemon = cdcd("run", *ends)
    daemon.wait_said("consistent")
    refused = run_cdcd("drop", *ends, "--yes", code=6)
    assert "a daemon runs pipeline" in refused.text()
    assert daemon.running
    run_cdcd("drop", *ends, "--yes", "--force")
    daemon.wait(6, 30)
    assert target_db.sql("SELECT count(*) FROM t") == [(1000,)]


def test_drop_with_force_drops_the_slot_of_a_target_that_is_gone(
    ends: list[str], run_cdcd: Cdcd, source_db: Database
) -> None:
    run_cdcd("run", *ends, "--until", "caught-up")
    slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    assert source_db.admin(slots) == [(1,)]
    run_cdcd("drop", *ends[:2], "--to", "postgresql://u@127.0.0.1:1/d", *ends[4:], "--yes", "--force", code=4)
    assert source_db.admin(slots) == [(0,)]


@pytest.fixture
def rotating(source_db: Database) -> Iterator[str]:
    """A role of this test's own at the source."""
    role = f"rotating_{source_db.name}"
    source_db.admin(f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'first-password'")
    source_db.admin(f"GRANT app TO {role}")
    source_db.admin(f'GRANT CREATE ON DATABASE "{source_db.name}" TO {role}')
    yield role
    source_db.admin(f"DROP OWNED BY {role}")
    source_db.admin(f"DROP ROLE {role}")


@pytest.mark.failure("OP-06", "OP-13")
def test_a_password_that_changes(
    ends: list[str], rotating: str, cdcd: Cdcd, run_cdcd: Cdcd, tmp_path: Path, source_db: Database,
    target_db: Database, target_proxy: Proxy,
) -> None:
    """In the copy: whatever is opened after it uses the new one. In the stream, a moment before it is known here: that
    is waited for. For ever it is not."""
    server = source_db.server
    file, password = tmp_path / "cdcd.toml", tmp_path / "password"
    password.write_text("first-password\n")
    file.write_text(
        f'[[pipeline]]\nname = "{source_db.name}"\nto = "{target_proxy.url(target_db.url)}"\n'
        f'from = {{ url = "postgresql://{rotating}@{server.host}:{server.port}/{source_db.name}", '
        f'password_file = "{password}" }}\npatience = 4\n'
    )

    def change(to: str) -> None:
        source_db.admin(f"ALTER ROLE {rotating} PASSWORD '{to}'")

    def cut() -> None:
        source_db.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", rotating)

    copying = target_proxy.hold(Direction.TO_SERVER, lambda message: "UPDATE cdcd.chunks" in (message.sql or ""))
    daemon = cdcd("run", "-c", str(file))
    copying.wait()
    change("second-password")
    password.write_text("second-password\n")
    copying.release()
    daemon.wait_said("stream started")
    source_db.sql("INSERT INTO t VALUES (4000, 'streamed')")
    wait_equal(source_db, target_db, TABLES)
    assert not daemon.said("trying again")
    change("third-password")
    cut()
    daemon.wait_said("password authentication failed")
    source_db.sql("INSERT INTO t VALUES (5000, 'after')")
    password.write_text("third-password\n")
    wait_equal(source_db, target_db, TABLES)
    change("fourth-password")
    cut()
    assert "check the password" in daemon.wait(2, 30)
    password.write_text("fourth-password\n")
    run_cdcd("drop", "-c", str(file), "--yes")
    for secret in ("first-password", "second-password", "third-password"):
        assert secret not in daemon.text()
        assert target_db.sql("SELECT 1 FROM cdcd.epochs e WHERE e::text LIKE %s", f"%{secret}%") == []
