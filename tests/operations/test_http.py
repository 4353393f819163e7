"""What --http tells while a pipeline loads, streams, is stuck, and goes on: asked as Kubernetes and Prometheus do."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.crash.following import Cdcd
from tests.servers import Database
from tests.servers.postgres import free_port
from tests.servers.proxy import Direction, Message, Proxy
from tests.waiting import wait_until

STUCK_AFTER = 3


class Asked:
    """The daemon's HTTP address."""

    def __init__(self) -> None:
        self.port = free_port()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0: nobody answers yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def status(self) -> dict[str, Any]:
        told = json.loads(self.get("/status")[1])
        assert told["version"] == 1
        [one] = told["pipelines"]
        return dict(one)

    def metric(self, name: str, **labels: str) -> float:
        text = self.get("/metrics")[1]
        for line in text.splitlines():
            if re.match(rf"{name}[{{ ]", line) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no {name} in\n{text}")


def _is_chunk_record(message: Message) -> bool:
    return bool(message.sql and "UPDATE cdcd.chunks" in message.sql)


@pytest.mark.failure("OP-04")
def test_loading_streaming_stuck_and_well_again(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd, tmp_path: Path
) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    source_db.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    name, asked, file = source_db.name, Asked(), tmp_path / "cdcd.toml"
    file.write_text(
        f'[http]\nlisten = "127.0.0.1:{asked.port}"\nstuck_after = {STUCK_AFTER}\n'
        f'[[pipeline]]\nname = "{name}"\nfrom = "{source_db.url}"\nto = "{target_proxy.url(target_db.url)}"\n'
    )
    held = target_proxy.hold(Direction.TO_SERVER, _is_chunk_record)
    daemon = cdcd("run", "-c", str(file))
    held.wait()

    wait_until(lambda: asked.status()["phase"] == "loading", what="the phase to be loading")
    assert asked.get("/readyz")[0] == 503 and "loading" in asked.get("/readyz")[1]
    assert asked.metric("cdcd_phase", pipeline=name, phase="loading") == 1
    assert asked.metric("cdcd_consistent", pipeline=name) == 0
    assert asked.status()["load_rows"] == 1000
    wait_until(lambda: asked.get("/healthz")[0] == 503, what="a load that stands to show")
    assert "nothing has moved" in asked.get("/healthz")[1]
    held.release()

    wait_until(lambda: asked.get("/readyz")[0] == 200, what="readiness")
    wait_until(lambda: asked.get("/healthz")[0] == 200, 5, "health")
    assert asked.metric("cdcd_phase", pipeline=name, phase="streaming") == 1
    assert asked.metric("cdcd_chunks_in", pipeline=name) == 1
    source_db.sql("INSERT INTO t VALUES (2000)")
    wait_until(lambda: asked.metric("cdcd_changes_total", pipeline=name) == 1, what="the change to be counted")

    target_proxy.silence()
    source_db.sql("INSERT INTO t VALUES (2001)")
    wait_until(lambda: asked.get("/healthz")[0] == 503, what="a silent target to show")
    assert asked.metric("cdcd_healthy", pipeline=name) == 0
    assert asked.metric("cdcd_up", pipeline=name) == 1
    assert re.search("nothing has moved|has not answered", asked.status()["unhealthy"])
    target_proxy.resume()
    wait_until(lambda: target_db.sql("SELECT 1 FROM t WHERE id = 2001") != [], what="the row")
    wait_until(lambda: asked.get("/healthz")[0] == 200 == asked.get("/readyz")[0], what="health again")
    assert asked.get("/nowhere")[0] == 404
    daemon.stop()
    assert asked.get("/healthz")[0] == 0


@pytest.mark.failure("OP-04", "OP-01")
def test_a_source_that_answers_nothing_is_not_called_well(
    source_db: Database, target_db: Database, source_proxy: Proxy, cdcd: Cdcd, tmp_path: Path
) -> None:
    """Its head cannot be read either, so nothing is known to be behind: "up to date" would be a guess."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    asked, file = Asked(), tmp_path / "cdcd.toml"
    file.write_text(
        f'[http]\nlisten = "127.0.0.1:{asked.port}"\nstuck_after = {STUCK_AFTER}\n[[pipeline]]\n'
        f'name = "{source_db.name}"\nfrom = "{source_proxy.url(source_db.url)}"\nto = "{target_db.url}"\n'
    )
    daemon = cdcd("run", "-c", str(file))
    began = time.monotonic()
    wait_until(lambda: asked.get("/readyz")[0] == 200, what="readiness")
    assert time.monotonic() - began < 8, "an idle source keeps a pipeline from being ready"
    source_proxy.silence()
    source_db.sql("INSERT INTO t VALUES (1)")
    wait_until(lambda: asked.get("/healthz")[0] == 503, 15, "a silent source to show")
    # Either: the head that was read last may have been a few bytes of the server's own ahead.
    assert re.search(r"(nothing has moved|has not answered) for \d+ s while streaming", asked.get("/healthz")[1])
    source_proxy.resume()
    wait_until(lambda: target_db.sql("SELECT 1 FROM t") != [], what="the row")
    wait_until(lambda: asked.get("/healthz")[0] == 200, what="health again")
    daemon.stop()


@pytest.mark.failure("T-DB-6")
def test_position_and_lag_while_the_target_is_away(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd, tmp_path: Path
) -> None:
    """What was known last, marked as stale, and a lag that grows; the source is let go, and gone on with later."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    asked, file = Asked(), tmp_path / "cdcd.toml"
    file.write_text(
        f'[http]\nlisten = "127.0.0.1:{asked.port}"\n[[pipeline]]\nname = "{source_db.name}"\n'
        f'from = "{source_db.url}"\nto = "{target_proxy.url(target_db.url)}"\n'
    )
    daemon = cdcd("run", "-c", str(file))
    wait_until(lambda: asked.get("/readyz")[0] == 200, what="readiness")
    assert asked.status()["stale"] is False
    target_proxy.refuse()
    target_proxy.cut()
    source_db.sql("INSERT INTO t VALUES (1)")
    wait_until(lambda: asked.status()["lag_seconds"] > 3, what="the lag to grow")
    told = asked.status()
    assert told["stale"] is True and told["durable_position"] and told["phase"] in ("waiting", "claiming")
    assert asked.metric("cdcd_failing") == 1 and asked.metric("cdcd_lag_seconds") > 3
    slot = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    wait_until(lambda: source_db.admin(slot, f"cdcd_{source_db.name}") == [(False,)], what="the slot to be let go")
    target_proxy.clear()
    wait_until(lambda: target_db.sql("SELECT 1 FROM t") != [], what="the row")
    wait_until(lambda: not asked.status()["stale"] and asked.status()["lag_seconds"] < 3, what="what is known again")
    daemon.stop()
