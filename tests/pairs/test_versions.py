"""From each version to each other one: copied, followed, killed on the way, and compared by both servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.workload import FILL, SCHEMA, TABLES, Workload, steady
from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.servers import Database, matrix

pytestmark = pytest.mark.parametrize("versions", matrix.every_pair(), ids=matrix.name, indirect=True)

PORTABLE = """
CREATE TABLE plain (id bigint PRIMARY KEY, s smallint, f float8, n numeric(12,3), t text, b bytea, d date,
                    ts timestamptz, u uuid, j json, flag bool);
INSERT INTO plain SELECT x, x, x / 3.0, x / 7.0, 'é' || x, decode(md5(x::text), 'hex'), date '2000-02-29' + x,
    '2000-01-01 00:00:00.000001+00'::timestamptz + x * interval '1 day', gen_random_uuid(),
    '{"a" : 1.0}', x % 2 = 0 FROM generate_series(1, 500) x
"""
# Of these the binary form is the version's own, or holds OIDs: such tables travel as text.
OWN = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE place AS (x int, name text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE own (id int PRIMARY KEY, m mood, d positive, a int[], r int4range, tv tsvector, ip inet, i interval);
INSERT INTO own SELECT x, CASE x % 2 WHEN 0 THEN 'sad' ELSE 'ok' END::mood, x, ARRAY[x, NULL, -x],
    int4range(x, x + 5), to_tsvector('simple', 'word ' || x), '10.0.0.1/8'::inet + x, x * interval '1 mon -1 day'
FROM generate_series(1, 200) x
"""
CHANGES = """
INSERT INTO plain (id, n, t) VALUES (9001, 'NaN', NULL), (9002, -0.001, E'tab\\tnl\\n\\\\');
UPDATE plain SET id = -id, ts = 'infinity' WHERE id % 50 = 0;
DELETE FROM plain WHERE id % 7 = 0;
UPDATE own SET m = 'sad', a = '[0:1]={1,2}' WHERE id % 3 = 0;
TRUNCATE moves;
"""
ALL = [*TABLES, "public.plain", "public.own"]


@pytest.mark.timeout(180)
def test_a_pipeline_between_two_versions(
    source_db: Database, target_db: Database, cdcd: Callable[..., Daemon], versions: matrix.Pair
) -> None:
    assert (source_db.server.major, target_db.server.major) == versions
    pair = Pair(source_db, target_db, cdcd)
    source_db.sql(SCHEMA + FILL + PORTABLE + ";" + OWN)
    target_db.sql(OWN.partition("CREATE TABLE")[0])
    with Workload(source_db) as workload:
        daemon = pair.follow()
        steady(workload, 30)
        source_db.sql(CHANGES)
        daemon.kill()
        daemon = pair.follow()
        steady(workload, 10)
        workload.stop()
    pair.wait_equal(*ALL)
    pair.command("validate")
    daemon.stop()
    pair.run()
    pair.equal(*ALL)


def test_a_stream_is_binary_where_every_value_is_portable(
    source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    """From version 14 on, which brought binary streams."""
    pair = Pair(source_db, target_db, cdcd)
    source_db.sql(PORTABLE)
    daemon = pair.follow()
    source_db.sql("UPDATE plain SET t = 'changed' WHERE id < 100")
    pair.wait_equal("public.plain")
    said = f"binary={source_db.server.major >= 14}"
    assert daemon.said(said), daemon.text()
    daemon.stop()
