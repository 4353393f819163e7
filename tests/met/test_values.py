"""What becomes of values on the way: large unchanged ones, all sizes, numbers, money, text, old rows without a key."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.met.pair import Pair
from tests.servers import Database, Postgres, Server, make_roles, run
from tests.servers.database import make_source, make_target

BIG = """
CREATE TABLE by_{i} (id int PRIMARY KEY, n int NOT NULL, u int NOT NULL, big text, doc jsonb, raw bytea, list text[]);
ALTER TABLE by_{i} ALTER big SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL,
                   ALTER list SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX by_{i}_u ON by_{i} (u);
ALTER TABLE by_{i} REPLICA IDENTITY {identity};
"""
IDENTITIES = {"default": "DEFAULT", "index": "USING INDEX by_index_u", "full": "FULL"}
TABLES = [f"public.by_{name}" for name in IDENTITIES]
BIG_DDL = "".join(BIG.format(i=name, identity=identity) for name, identity in IDENTITIES.items())
BIG_INSERT = """
INSERT INTO by_{i} SELECT g, 0, g, repeat('x', 20000), jsonb_build_object('k', repeat('j', 9000)),
                          decode(repeat('00ff', 5000), 'hex'), ARRAY[repeat('a', 9000), NULL]
FROM generate_series(1, 3) g
"""
BIG_UPDATES = [
    "UPDATE by_{i} SET n = 1", "UPDATE by_{i} SET id = id + 100, u = u + 100", "UPDATE by_{i} SET big = NULL",
]  # fmt: skip


def each(pair: Pair, text: str) -> None:
    """In every table."""
    pair.source.sql("; ".join(text.format(i=name) for name in IDENTITIES))


@pytest.mark.failure("PG-01")
def test_large_values_that_an_update_leaves_alone(pair: Pair) -> None:
    """By every replica identity: all in one batch on an empty target, then each while the daemon runs."""
    pair.source.sql(BIG_DDL)
    pair.run()
    for text in [BIG_INSERT, *BIG_UPDATES[:2]]:
        each(pair, text)
    daemon = pair.follow()
    pair.wait_equal(*TABLES)
    for text in BIG_UPDATES:
        each(pair, text)
        pair.wait_equal(*TABLES)
    daemon.stop()
    assert pair.target.sql("SELECT count(*), min(length(doc->>'k')) FROM by_default") == [(3, 9000)]


SIZES = [0, 1, 126, 127, 255, 256, 65535, 65536, 1 << 20, 1 << 24]
"""Where lengths take another byte, or values are stored in another way."""


def test_values_of_all_sizes(pair: Pair) -> None:
    """Copied, streamed, and left alone by an update that changes the key too."""
    made = (
        "INSERT INTO sizes SELECT %s + place, size, repeat('é', size / 2) || repeat('x', size %% 2),"
        " decode(repeat('5c', size), 'hex'), array_fill(7, ARRAY[size / 64])"
        " FROM unnest(%s) WITH ORDINALITY s (size, place)"
    )
    pair.source.sql("CREATE TABLE sizes (id int PRIMARY KEY, n int, t text, b bytea, l int[])")
    pair.source.sql(made, 0, SIZES)
    daemon = pair.follow()
    pair.source.sql(made, 100, SIZES)
    pair.source.sql("UPDATE sizes SET id = -id, n = 0 WHERE id % 2 = 0")
    pair.wait_equal("public.sizes")
    daemon.stop()


@pytest.fixture
def yen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A source on a server whose money has no fraction, and is written in another way."""
    place = run.place("locale")
    monetary = "LC_MONETARY\n" + "\n".join((
        'currency_symbol "Y"', 'mon_decimal_point ","', 'mon_thousands_sep "."', "mon_grouping 3", "frac_digits 0",
        "int_frac_digits 0", "p_cs_precedes 0", "n_cs_precedes 0", "p_sign_posn 0", "n_sign_posn 0",
        'negative_sign "-"', 'positive_sign ""', "END LC_MONETARY", "",
    ))  # fmt: skip
    (place / "source").write_text("comment_char %\nescape_char /\n" + monetary)
    made = ["localedef", "-c", "-i", str(place / "source"), str(place / "yen")]  # complains of what is not in it
    subprocess.run(made, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    monkeypatch.setenv("LOCPATH", str(place))
    with Postgres.start(18, settings={"lc_monetary": "yen"}) as server:
        make_roles(server)
        yield make_source(server)


@pytest.mark.failure("PG-21", "TG-14")
def test_money_of_another_currency(pair: Pair, yen: Database) -> None:
    """The number that is stored arrives, not what two locales make of its text."""
    pair = replace(pair, source=yen)
    rows = "INSERT INTO purse SELECT {} + i, m::money, ARRAY[m::money, NULL] FROM (VALUES (1, '150'), (2, '-1234567'),"
    rows += "(3, '9223372036854775807'), (4, '-9223372036854775808')) v (i, m)"
    pair.source.sql("CREATE TABLE purse (id int PRIMARY KEY, m money, ms money[])")
    pair.source.sql(rows.format(0))
    assert pair.source.sql("SELECT m::text FROM purse WHERE id = 2") == [("(1.234.567Y)",)]
    daemon = pair.follow()
    pair.source.sql(rows.format(10))
    pair.source.sql("UPDATE purse SET m = m + '1' WHERE id = 11; DELETE FROM purse WHERE m = '150'")
    pair.wait_equal("public.purse")
    daemon.stop()


NUMBERS = """
CREATE TABLE numbers (id int PRIMARY KEY, i bigint, n numeric, m numeric(60, 20), f float8, r real, t timestamptz,
                      p timestamp, d interval, j json, b jsonb)
"""
NUMBERS_ROWS = """
INSERT INTO numbers SELECT base + g, i, n, 12345678901234567890.12345678901234567890, f, r, t, t, d, b::text::json, b
FROM (SELECT row_number() OVER () AS g, x.* FROM (VALUES
 (9007199254740993, 0.1234567890123456789012345678901234567891, 0.1::float8, 0.1::real,
  '2024-02-29 12:34:56.789012+00'::timestamptz, '1 mon 2 days 00:00:00.000001'::interval, '{"n": 9007199254740993}'),
 (-9223372036854775808, 'NaN', 'NaN', 'Infinity', 'infinity', '-178000000 years',
  '{"n": 1.2345678901234567890123456789012345678}'),
 (9223372036854775807, 1e131000, 2.2250738585072014e-308, 1e-45, '0044-03-15 12:00:00 BC', '0', '[1e400, -0.0]'),
 (0, 1.10, '-0', 3.4028235e38, '294276-12-31 23:59:59.999999+00', '-00:00:00.000001', '{"a": "\\\\u0041"}')
) x (i, n, f, r, t, d, j)) y, LATERAL (SELECT y.j::jsonb AS b) z, (SELECT %s AS base) w
"""


@pytest.mark.failure("TG-14")
def test_no_digit_is_lost(pair: Pair) -> None:
    """Copied, and streamed, as text compared by the servers."""
    pair.source.sql(NUMBERS)
    pair.source.sql(NUMBERS_ROWS, 0)
    daemon = pair.follow()
    pair.source.sql(NUMBERS_ROWS, 100)
    pair.source.sql("UPDATE numbers SET n = n, i = -i WHERE id = 101")
    pair.wait_equal("public.numbers")
    daemon.stop()


@pytest.mark.failure("TG-06")
def test_text_that_the_target_refuses(pair: Pair) -> None:
    """A database of another encoding: said before, and a named stop at the row, by copy and by stream."""
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY, x text)")
    pair.source.sql("INSERT INTO t VALUES (1, 'é')")
    latin = make_target(pair.target.server, options="ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        into = Pair(pair.source, latin, pair.cdcd)
        assert into.run().said("not every character can be stored")
        assert latin.sql("SELECT x = 'é' FROM t") == [(True,)]
        pair.source.sql("INSERT INTO t VALUES (2, 'fine'), (3, '🙂')")
        refused = into.run(code=6)
        assert refused.said("has no equivalent in encoding") and refused.said("public.t")
        assert latin.sql("SELECT count(*) FROM t") == [(1,)]
        into.command("drop", "--yes")
        assert into.run("--target-tables", "truncate", code=6).said("has no equivalent in encoding")
    finally:
        latin.drop()


LATER = "INSERT INTO t SELECT 2, convert_from('\\x{}', getdatabaseencoding())"


@pytest.mark.failure("TG-06")
def test_text_of_a_source_in_another_encoding(pair: Pair, source_on: Callable[[Server, str], Database]) -> None:
    """Converted by the server; bytes that are no characters are a named stop, by copy and by stream."""
    for encoding, bytes, fine in (("LATIN1", "e9", True), ("SQL_ASCII", "c3a9", True), ("SQL_ASCII", "ff", False)):
        other = source_on(pair.source.server, f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        its = replace(pair, source=other)
        other.sql("CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'a')")
        daemon = its.follow("--target-tables", "drop")
        other.sql(LATER.format(bytes))
        if fine:
            its.wait_equal("public.t")
            assert pair.target.sql("SELECT x = 'é' FROM t WHERE id = 2") == [(True,)]
            daemon.stop()
            continue
        refused = [daemon.wait(6)]
        its.command("drop", "--yes")
        refused.append(its.run("--target-tables", "drop", code=6).text())
        for text in refused:
            assert "invalid byte sequence" in text and "public.t" in text, text


KEYLESS = """
CREATE TABLE twins (a int, j json, f float8, p point, x text); ALTER TABLE twins REPLICA IDENTITY FULL;
CREATE TABLE keyed (id int PRIMARY KEY, j json, f float8, n int); ALTER TABLE keyed REPLICA IDENTITY FULL;
INSERT INTO twins SELECT NULL, '{"a" :1}', 'NaN', '(1,2)', NULL FROM generate_series(1, 3);
INSERT INTO keyed SELECT i, '{"a": 1}', 'NaN', NULL FROM generate_series(1, 9) i
"""


@pytest.mark.failure("PG-17", "SN-05")
def test_replica_identity_full(pair: Pair) -> None:
    """With a key, by the key; without one, one of the twins at a time, of values that have no equality too."""
    pair.source.sql(KEYLESS)
    daemon = pair.follow()
    pair.source.sql("DELETE FROM twins WHERE ctid = (SELECT min(ctid) FROM twins)")
    pair.source.sql("UPDATE keyed SET f = '-0', n = id WHERE id < 5; UPDATE keyed SET id = id + 100")
    pair.wait_equal("public.twins", "public.keyed")
    assert pair.target.sql("SELECT count(*) FROM twins") == [(2,)]
    pair.source.sql("UPDATE twins SET a = 1 WHERE ctid = (SELECT min(ctid) FROM twins); INSERT INTO twins VALUES (1)")
    pair.source.sql("DELETE FROM keyed WHERE id % 2 = 0")
    pair.wait_equal("public.twins", "public.keyed")
    daemon.stop()
