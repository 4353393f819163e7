"""Control rows that are damaged: some of them gone, or not what we wrote. A named stop, whichever it is; never a guess.

Off: refuse_damaged, and a pipeline without its tables goes on, acknowledging what it passes over.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cdcd.errors import StateRefused
from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.servers.database import Database
from tests.traps.pipeline import Pipeline
from tests.traps.sessions import commit

DAMAGES = {
    "DELETE FROM cdcd.version": "0 versions",
    "DELETE FROM cdcd.epochs": "not of which server",
    "DELETE FROM cdcd.checkpoints": "no checkpoint",
    "DELETE FROM cdcd.tables": "no tables",
    "DELETE FROM cdcd.tables; DELETE FROM cdcd.chunks": "no tables",
    "DELETE FROM cdcd.tables WHERE table_id = 'public.t'": "not the table",
    "DELETE FROM cdcd.chunks WHERE table_id = 'public.u'": "chunks of public.u are missing",
    "DELETE FROM cdcd.chunks WHERE number = 1": "chunks of public.t are missing",
    "DELETE FROM cdcd.chunks WHERE number > 2": "chunks of public.t are missing",
    "UPDATE cdcd.checkpoints SET checkpoint = '{}'": "none of ours",
    "UPDATE cdcd.checkpoints SET checkpoint = '[]'": "none of ours",
    """UPDATE cdcd.checkpoints SET checkpoint = '{"position": {"lsn": "here"}}'""": "not one of PostgreSQL's",
    "UPDATE cdcd.tables SET definition = '{}'": "cdcd.tables",
    "UPDATE cdcd.tables SET definition = definition - 'key'": "cdcd.tables",
    "UPDATE cdcd.tables SET definition = '[1]'": "cdcd.tables",
    "UPDATE cdcd.epochs SET source = NULL": "not of which server",
    "UPDATE cdcd.epochs SET source = '{}'": "cdcd.epochs",
    "UPDATE cdcd.epochs SET intent = '[]'": "cdcd.epochs",
    "UPDATE cdcd.chunks SET columns = '7'": "cdcd.chunks",
    "UPDATE cdcd.chunks SET low = '9'": "cdcd.chunks",
}
CONTROLS = ("version", "epochs", "checkpoints", "tables", "chunks")
KEEP = "CREATE SCHEMA kept;" + ";".join(f"CREATE TABLE kept.{name} AS TABLE cdcd.{name}" for name in CONTROLS)
RESTORE = f"TRUNCATE {', '.join(f'cdcd.{name}' for name in CONTROLS)};" + ";".join(
    f"INSERT INTO cdcd.{name} SELECT * FROM kept.{name}" for name in CONTROLS
)


@pytest.mark.failure("PO-07")
def test_a_named_stop_and_nothing_moves(
    source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, x text); CREATE TABLE u (id int PRIMARY KEY)")
    source_db.sql("INSERT INTO t SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, 300) i; ANALYZE t")
    with Pipeline(source_db, target_db, chunk_bytes=64 << 10) as pipeline:
        pipeline.equal("public.t", "public.u")
    assert len(pipeline.states("public.t")) > 3
    target_db.sql(KEEP)
    commit(source_db, "DELETE FROM t WHERE id < 10", "INSERT INTO u VALUES (1)")
    slot = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = %s"
    before = source_db.admin(slot, f"cdcd_{source_db.name}")
    for damage, said in DAMAGES.items():
        target_db.sql(damage)
        with Pipeline(source_db, target_db) as pipeline:
            error = pipeline.stopped_by(StateRefused)
        assert error.exit_code == 6 and said in str(error), f"{damage}: {error!r}"
        target_db.sql(RESTORE)
    assert target_db.sql("SELECT count(*) FROM t") == [(300,)]
    assert source_db.admin(slot, f"cdcd_{source_db.name}") == before
    target_db.sql("DELETE FROM cdcd.tables")
    pair = Pair(source_db, target_db, cdcd)
    assert "what is stored of this pipeline" in pair.run(code=6).text()
    pair.command("drop", "--yes")
    assert pair.slots() == []
