"""A source whose database orders text by a language: chunks are cut, and keys found, in the server's own order."""

from collections.abc import Callable, Iterator

import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.servers import Database, Server
from tests.servers.database import ICU, make_source

WORDS = """
CREATE TABLE words (w text PRIMARY KEY, n int, pad text);
CREATE TABLE pairs (a varchar(20), b text, n int, PRIMARY KEY (a, b));
INSERT INTO words
SELECT (ARRAY['a', 'A', 'ä', 'b', 'B', 'z', 'Z', 'ß', 'ss', ' '])[i % 10 + 1] || i / 10, i, repeat(md5(i::text), 8)
FROM generate_series(1, 9000) i;
INSERT INTO pairs SELECT w, upper(w), n FROM words WHERE n % 3 = 0;
"""


@pytest.fixture
def pair(pg15: Server, target_db: Database, cdcd: Callable[..., Daemon]) -> Iterator[Pair]:
    """The target's own order is that of bytes."""
    source = make_source(pg15, options=ICU)
    yield Pair(source, target_db, cdcd)
    source.drop()


@pytest.mark.failure("T-PG-11", "T-DB-4")
def test_text_keys_in_small_chunks_while_they_move(pair: Pair) -> None:
    pair.source.sql(WORDS)
    ((before, after),) = pair.source.sql("SELECT 'ä' < 'b', 'B' < 'z'")
    assert (before, after) == (True, True), "the database's own order is that of bytes"
    small = ("--chunk-bytes", "100 kB", "--chunks-per-snapshot", "1", "--loaders", "1")
    daemon = pair.cdcd("run", *pair.ends, *small)
    for turn in range(30):
        pair.source.sql(
            f"UPDATE words SET w = chr(97 + ({turn} * 7) % 26) || 'Ä' || w WHERE n % 30 = {turn};"
            f"UPDATE words SET w = 'Z' || w WHERE n = {turn}; DELETE FROM words WHERE n = {turn} + 1000;"
            f"INSERT INTO words VALUES ('ßß{turn}', {turn}, 'new'), ('ää{turn} ', {turn}, 'new');"
            f"UPDATE pairs SET a = lower(a), b = 'é' || n WHERE n % 90 = {turn * 3}"
        )
    daemon.wait_said("consistent", 60)
    pair.wait_equal("public.words", "public.pairs")
    daemon.stop()
    chunks = pair.target.sql("SELECT count(*) FROM cdcd.chunks WHERE table_id = 'public.words' AND state = 'in'")
    assert chunks[0][0] > 5
    pair.command("validate")
    pair.target.sql("UPDATE words SET n = -1 WHERE w = 'ßß3'")
    pair.command("validate", "--still", code=5)
