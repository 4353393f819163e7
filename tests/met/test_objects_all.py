"""objects = "all": everything that is around the tables comes with them, by pg_dump, told by the catalogues of both
ends; and what cannot come is found before anything is started."""

import os
from collections.abc import Iterator

import pytest

from tests.met.pair import Pair
from tests.servers.postgres import Postgres

AROUND = r"""
CREATE EXTENSION hstore;
CREATE SCHEMA lib; COMMENT ON SCHEMA lib IS 'functions alone';
CREATE TYPE lib.kind AS ENUM ('a', 'b');
CREATE SEQUENCE lib.numbers START 5;
CREATE FUNCTION lib.half(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n / 2';
COMMENT ON FUNCTION lib.half(int) IS E'of a\n-- TOC entry 1 (class 1 OID 1)\n--\n\nnumber';
CREATE FUNCTION lib.twice(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN lib.half(n) * 4; END $$;
CREATE DOMAIN lib.even AS int CHECK (lib.half(VALUE) * 2 = VALUE);
CREATE TABLE base (id int PRIMARY KEY DEFAULT lib.half(100), n lib.even,
    m int GENERATED ALWAYS AS (lib.twice(id)) STORED,
    k lib.kind DEFAULT 'a', CONSTRAINT checked CHECK (lib.half(id) >= 0), note text DEFAULT 'a;b');
CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
CREATE INDEX halves ON base (lib.half(id));
CREATE VIEW one AS SELECT id, n, k FROM base WHERE id > 0;
CREATE VIEW "two ""2"" odd" AS SELECT id, count(*) AS many FROM one GROUP BY id;
CREATE VIEW grouped AS SELECT b.*, count(l.id) AS logs FROM base b LEFT JOIN log l ON l.id = b.id GROUP BY b.id;
CREATE VIEW over_grouped WITH (security_barrier) AS SELECT id, logs FROM grouped;
ALTER VIEW one ALTER k SET DEFAULT 'b'; COMMENT ON COLUMN one.k IS 'its kind';
CREATE MATERIALIZED VIEW summed AS SELECT k, sum(n) AS n FROM one GROUP BY k;
CREATE UNIQUE INDEX summed_k ON summed (k);
CREATE MATERIALIZED VIEW over_summed AS SELECT count(*) AS c FROM summed;
CREATE MATERIALIZED VIEW nothing AS SELECT 1 AS one WITH NO DATA;
CREATE FUNCTION of_base(b base) RETURNS SETOF one LANGUAGE sql STABLE AS 'SELECT * FROM public.one WHERE id = b.id';
CREATE PROCEDURE act(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END';
CREATE AGGREGATE lib.total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR lib.<=> (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int);
CREATE TEXT SEARCH CONFIGURATION lib.words (COPY = pg_catalog.simple);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.log (what) VALUES (TG_NAME || TG_OP); RETURN NEW; END $$;
CREATE TRIGGER ordinary AFTER INSERT OR UPDATE ON base FOR EACH ROW WHEN (NEW.id < 1000) EXECUTE FUNCTION noted();
CREATE TRIGGER always AFTER INSERT ON base FOR EACH ROW EXECUTE FUNCTION noted();
CREATE TRIGGER idle AFTER INSERT ON base FOR EACH ROW EXECUTE FUNCTION noted();
ALTER TABLE base ENABLE ALWAYS TRIGGER always, DISABLE TRIGGER idle;
COMMENT ON TRIGGER ordinary ON base IS 'an ordinary one';
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER instead INSTEAD OF DELETE ON one FOR EACH ROW EXECUTE FUNCTION instead();
CREATE RULE kept AS ON DELETE TO log WHERE OLD.id < 3 DO INSTEAD NOTHING;
CREATE STATISTICS lib.both ON id, n FROM base;
CREATE POLICY mine ON log TO app, cdcd_reader USING (id > 0); CREATE POLICY anybody ON log FOR SELECT USING (true);
ALTER TABLE log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA lib TO cdcd_reader; GRANT SELECT, UPDATE ON base TO cdcd_reader WITH GRANT OPTION;
GRANT SELECT (what), INSERT (what) ON log TO cdcd_reader; GRANT SELECT ON one TO PUBLIC;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA lib TO cdcd_reader;
REVOKE EXECUTE ON FUNCTION lib.half FROM PUBLIC; GRANT EXECUTE ON FUNCTION lib.half TO cdcd_reader;
SELECT setval('lib.numbers', 77);
"""
ROWS = """
ALTER TABLE base DISABLE TRIGGER USER; INSERT INTO base (id, n) SELECT i, i * 2 FROM generate_series(1, 20) i;
ALTER TABLE base ENABLE TRIGGER ordinary, ENABLE ALWAYS TRIGGER always;
INSERT INTO log (what) VALUES ('by hand'); REFRESH MATERIALIZED VIEW summed; REFRESH MATERIALIZED VIEW over_summed;
"""
READER = "cdcd_reader"

_OBJECTS = """
SELECT (pg_identify_object(class, oid, 0)).type, (pg_identify_object(class, oid, 0)).identity, told FROM (
    SELECT 'pg_class'::regclass AS class, oid, pg_get_viewdef(oid) || relispopulated || coalesce(reloptions::text, '')
    FROM pg_class WHERE relkind IN ('v', 'm')
    UNION ALL SELECT 'pg_class', oid, relrowsecurity::text || relforcerowsecurity FROM pg_class WHERE relkind = 'r'
    UNION ALL SELECT 'pg_class', indexrelid, pg_get_indexdef(indexrelid) FROM pg_index
    UNION ALL SELECT 'pg_proc', oid, CASE WHEN prokind <> 'a' THEN pg_get_functiondef(oid) END FROM pg_proc
    UNION ALL SELECT 'pg_trigger', oid, pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'pg_rewrite', oid, pg_get_ruledef(oid) FROM pg_rewrite
    UNION ALL SELECT 'pg_policy', oid, pg_get_expr(polqual, polrelid) || polcmd::text || (
                  SELECT string_agg(coalesce(rolname, ''), ',' ORDER BY rolname) FROM unnest(polroles) p (r)
                  LEFT JOIN pg_roles g ON g.oid = p.r) FROM pg_policy
    UNION ALL SELECT 'pg_statistic_ext', oid, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
    UNION ALL SELECT 'pg_operator', oid, oprcode::text FROM pg_operator
    UNION ALL SELECT 'pg_ts_config', oid, '' FROM pg_ts_config
    UNION ALL SELECT 'pg_extension', oid, '' FROM pg_extension
    UNION ALL SELECT 'pg_attrdef', oid, pg_get_expr(adbin, adrelid) FROM pg_attrdef) o (class, oid, told)
WHERE oid >= 16384 AND (pg_identify_object(class, oid, 0)).identity !~ 'cdcd\\.|pg_toast'
ORDER BY 1, 2
"""

_COMMENTS = """
SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description WHERE objoid >= 16384
  AND classoid <> 'pg_extension'::regclass AND pg_describe_object(classoid, objoid, objsubid) !~ 'cdcd' ORDER BY 1
"""

_PRIVILEGES = """
SELECT (pg_identify_object(class, oid, 0)).identity, part, coalesce(g.rolname, 'PUBLIC'), x.privilege_type,
       x.is_grantable
FROM (SELECT 'pg_class'::regclass AS class, oid, '' AS part, relowner, relacl FROM pg_class
      UNION ALL SELECT 'pg_class', a.attrelid, attname, relowner, attacl
                FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
      UNION ALL SELECT 'pg_proc', oid, '', proowner, proacl FROM pg_proc
      UNION ALL SELECT 'pg_namespace', oid, '', nspowner, nspacl FROM pg_namespace) a (class, oid, part, owner, acl),
     LATERAL aclexplode(acl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
WHERE oid >= 16384 AND x.grantee <> owner ORDER BY 1, 2, 3, 4
"""


def around(pair: Pair) -> None:
    """Both ends hold the same objects, comments and privileges."""
    for question in (_OBJECTS, _COMMENTS, _PRIVILEGES):
        source, target = set(pair.source.admin(question)), set(pair.target.admin(question))
        assert source - target == set(), "missing at the target"
        assert target - source == set(), "not at the source"
    assert len(pair.source.admin(_OBJECTS)) > 40


ALL = ("--objects", "all")
CARRIED = ("public.base", "public.log")


@pytest.fixture
def whole(pair_in_roles: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A source with one of everything, which its role may read, and pg_dump of its version."""
    pair = pair_in_roles
    with_pg_dump(pair, monkeypatch)
    for end in (pair.source, pair.target):
        if not end.server.execute("SELECT FROM pg_roles WHERE rolname = %s", READER):
            end.server.execute(f"CREATE ROLE {READER} NOLOGIN")
    pair.source.sql(AROUND)
    pair.source.sql(ROWS)
    pair.source.admin(f"ALTER ROLE {pair.source.role} BYPASSRLS")
    yield pair
    pair.source.admin(f"ALTER ROLE {pair.source.role} NOBYPASSRLS")


def with_pg_dump(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    server = pair.source.server
    assert isinstance(server, Postgres)
    monkeypatch.setenv("PATH", f"{server.bin}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.failure("T-DB-2")
def test_everything_around_the_tables_comes_with_them(whole: Pair) -> None:
    whole.run("--load", "only", *ALL)
    whole.equal(*CARRIED)
    around(whole)
    assert whole.target.sql("SELECT * FROM summed") == whole.source.sql("SELECT * FROM summed")
    assert whole.target.sql("SELECT nextval('lib.numbers')") == [(78,)]
    assert whole.target.admin("INSERT INTO base (id) VALUES (500) RETURNING m, k") == [(1000, "a")]
    noted = "SELECT what FROM log WHERE id > 1 ORDER BY what"
    assert whole.target.admin(noted) == [("alwaysINSERT",), ("ordinaryINSERT",)], "before that, none fired"
