"""Keys of every type that may be one: chunks are cut by them, changes judged, folded and found by them."""

from __future__ import annotations

from functools import partial

import pytest

from tests.fix_daemon import Daemon
from tests.met.test_types import Ends, ends
from tests.met.type_values import KEYS, PORTABLE
from tests.waiting import wait_until

__all__ = ["ends"]

FILLER = "repeat(md5(i::text), 70)"
"""Large enough to be stored apart, so that a change of the key leaves it unsaid."""

UNCUT = {"bool", "kinds.mood", "int4[]", "text[]", "kinds.d_ints"}
"""Too few keys, or arrays."""


def made(name: str, type: str, expression: str) -> str:
    return (
        f"CREATE TABLE {name} (k {type} PRIMARY KEY, i int, n int, x text);"
        f"ALTER TABLE {name} ALTER x SET STORAGE EXTERNAL;"
        f"INSERT INTO {name} SELECT {expression}, i, 0, {FILLER} FROM generate_series(1, 40) i ON CONFLICT DO NOTHING"
    )


def changed(name: str, expression: str, turn: int) -> str:
    """Another column, a key that goes, one that is used again, and one that changes."""
    return (
        f"UPDATE {name} SET n = n + 1 WHERE i % 10 = {turn}; DELETE FROM {name} WHERE i IN ({turn + 1}, {turn + 21});"
        f"INSERT INTO {name} SELECT {expression}, i, 7, {FILLER} FROM generate_series({turn + 21}, {turn + 21}) i"
        f" ON CONFLICT DO NOTHING;"
        f"UPDATE {name} t SET k = u.k, i = u.i FROM (SELECT i, {expression} AS k FROM generate_series(41, 44) i) u"
        f" WHERE t.i = u.i - {turn * 4 + 10} AND NOT EXISTS (SELECT FROM {name} o WHERE o.k = u.k)"
    )


def read(daemon: Daemon, snapshots: int) -> bool:
    return daemon.text().count("chunks are in") >= snapshots or not daemon.running


PORTABLE_KEYS = {type: key for type, key in KEYS.items() if type in PORTABLE}
OTHER_KEYS = {type: key for type, key in KEYS.items() if type not in PORTABLE}
OTHER_KEYS |= {type: KEYS[type] for type in ("text", "bytea", "date", "uuid")}


@pytest.mark.failure("SN-03", "T-FO-3", "T-PG-8")
@pytest.mark.parametrize(("source", "kinds"), [(18, PORTABLE_KEYS), (15, OTHER_KEYS)], ids=["binary", "text"])
def test_keys_of_every_type(ends: Ends, source: int, kinds: dict[str, str]) -> None:
    """Under writers while they are loaded, then streamed, then read again."""
    pair = ends(source, 18)
    keys = {f"public.key_{number}": type for number, type in enumerate(kinds)}
    zone = "SET TimeZone = 'UTC';"
    pair.source.sql(zone + ";".join(made(name, type, kinds[type]) for name, type in keys.items()) + "; ANALYZE")
    words = ["--tables", "public.*", "--chunk-bytes", "66kB", "--chunks-per-snapshot", "40"]
    daemon = pair.cdcd("run", *pair.ends, *words)
    for turn in range(2):
        wait_until(partial(read, daemon, turn), what="a snapshot's chunks to be in")
        pair.source.sql(zone + ";".join(changed(name, kinds[type], turn) for name, type in keys.items()))
    daemon.wait_said("] consistent")
    daemon.wait_said(f"binary={source == 18}")
    pair.wait_equal(*keys)
    chunks: dict[str, int] = dict(pair.target.sql("SELECT table_id, count(*) FROM cdcd.chunks GROUP BY 1"))
    assert {type for name, type in keys.items() if chunks[name] == 1} <= UNCUT
    pair.command("reload", next(name for name, type in keys.items() if type in ("numeric", "citext")))
    pair.source.sql(zone + ";".join(changed(name, kinds[type], 2) for name, type in keys.items()))
    pair.wait_equal(*keys)
    daemon.stop()
