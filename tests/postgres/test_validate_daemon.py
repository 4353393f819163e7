"""`cdcd validate` beside the running daemon and a workload: what a person sees in earnest."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.workload import FILL, SCHEMA, Workload
from tests.fix_daemon import Daemon
from tests.servers.database import Database

Cdcd = Callable[..., Daemon]


def counts(told: Any) -> dict[str, dict[str, int]]:
    """By table, what is certain: differences, not what is unsettled."""
    [pipeline] = told["pipelines"]
    assert pipeline["followed"] and all(table["compared"] for table in pipeline["tables"])
    kinds = ("missing", "extra", "different")
    return {table["table"]: {kind: table[kind] for kind in kinds if table[kind]} for table in pipeline["tables"]}


@pytest.mark.slow
@pytest.mark.failure("OP-14")
def test_no_false_alarm_beside_the_daemon(
    source_db: Database, target_db: Database, cdcd: Cdcd, run_cdcd: Cdcd
) -> None:
    source_db.sql(SCHEMA)
    source_db.sql(FILL)
    source_db.sql("INSERT INTO accounts SELECT i, 1 FROM generate_series(1000, 30000) i")
    ends = ["--from", source_db.url, "--to", target_db.url]
    daemon = cdcd("run", *ends)
    daemon.wait_said("consistent")
    with Workload(source_db, writers=2, pause=0.005) as workload:
        for _ in range(2):
            found = run_cdcd("validate", *ends, "--json", code=None)
            assert not any(counts(found.json()).values())
            assert found.process.returncode in (0, 1), found.text()
        target_db.sql("UPDATE accounts SET balance = 2 WHERE id = 20000; DELETE FROM accounts WHERE id = 20001")
        found = run_cdcd("validate", *ends, "--json", code=5)
        assert counts(found.json())["public.accounts"] == {"different": 1, "missing": 1}
    assert workload.transactions > 100
    run_cdcd("reload", "public.accounts", *ends)
    daemon.wait_said("reloading")
    daemon.stop()
    run_cdcd("run", *ends, "--until", "caught-up")
    assert not any(counts(run_cdcd("validate", *ends, "--json").json()).values())
