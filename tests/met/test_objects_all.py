"""objects = "all": everything that is around the tables comes with them, by pg_dump, told by the catalogues of both
ends; and what cannot come is found before anything is started."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.met.planned import as_planned
from tests.servers import Database
from tests.servers.matrix import since
from tests.servers.postgres import Postgres
from tests.servers.roles import PASSWORDS, TARGET_REPLICA
from tests.waiting import wait_until

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
WHERE oid >= 16384 AND (pg_identify_object(class, oid, 0)).identity !~ 'cdcd\\.|pg_toast|pg_temp'
ORDER BY 1, 2
"""

_COMMENTS = """
SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description WHERE objoid >= 16384
  AND classoid <> 'pg_extension'::regclass AND pg_describe_object(classoid, objoid, objsubid) !~ 'cdcd' ORDER BY 1
"""

_PRIVILEGES = """
SELECT (pg_identify_object(a.class, a.oid, 0)).identity, part, coalesce(g.rolname, 'PUBLIC'), x.privilege_type,
       x.is_grantable
FROM (SELECT 'pg_class'::regclass AS class, oid, '' AS part, relowner, relacl FROM pg_class
      UNION ALL SELECT 'pg_class', a.attrelid, attname, relowner, attacl
                FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
      UNION ALL SELECT 'pg_proc', oid, '', proowner, proacl FROM pg_proc
      UNION ALL SELECT 'pg_namespace', oid, '', nspowner, nspacl FROM pg_namespace) a (class, oid, part, owner, acl),
     LATERAL aclexplode(acl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
WHERE a.oid >= 16384 AND x.grantee <> owner ORDER BY 1, 2, 3, 4
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
def whole(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A source with one of everything, which its role may read, and pg_dump of its version."""
    yield from filled(pair, monkeypatch)


@pytest.fixture
def whole_in_roles(pair_in_roles: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    yield from filled(pair_in_roles, monkeypatch)


def filled(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    with_pg_dump(pair, monkeypatch)
    for end in (pair.source, pair.target):
        if not end.server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", READER):
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
    as_planned(whole, "--load", "only", *ALL)
    whole.equal(*CARRIED)
    around(whole)
    assert whole.target.sql("SELECT * FROM summed") == whole.source.sql("SELECT * FROM summed")
    assert whole.target.sql("SELECT nextval('lib.numbers')") == [(78,)]
    assert whole.target.admin("INSERT INTO base (id) VALUES (500) RETURNING m, k") == [(1000, "a")]
    noted = "SELECT what FROM log WHERE id > 1 ORDER BY what"
    assert whole.target.admin(noted) == [("alwaysINSERT",), ("ordinaryINSERT",)], "before that, none fired"


def triggers(pair: Pair) -> list[str]:
    return [row[0] for row in pair.target.sql("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1")]


@pytest.mark.failure("T-PT-8")
def test_what_acts_on_rows_waits_for_the_cut_over(whole_in_roles: Pair) -> None:
    """Triggers that our role keeps from firing come with all others; the rest by `cutover`, and the record takes them
    back."""
    whole = whole_in_roles
    daemon = whole.follow(*ALL)
    kept_off = whole.target.role == TARGET_REPLICA
    assert triggers(whole) == (["idle", "instead", "ordinary"] if kept_off else ["instead"])
    whole.source.sql("INSERT INTO base (id, n) VALUES (101, 2), (102, 4); UPDATE base SET n = 8 WHERE id = 101")
    whole.source.sql("DELETE FROM log WHERE id < 5")
    whole.wait_equal(*CARRIED)
    done = whole.command("cutover", "--fenced", *ALL, "--json").json()
    whole.equal(*CARRIED)
    around(whole)
    assert whole.source.sql("SELECT count(*) FROM log WHERE id < 3") == [(2,)], "the rule was at work"
    *undo, _ = done["way_back"]["now"]
    assert len(undo) == (4 if kept_off else 6)
    for line in undo:
        whole.target.sql(line.partition(";")[0])
    whole.source.sql("INSERT INTO base (id, n) VALUES (103, 2)")
    whole.wait_equal(*CARRIED)
    daemon.stop()


def test_what_speaks_of_a_table_that_joins_and_of_an_older_one(whole: Pair) -> None:
    """The join knows its own tables alone: a view over both, and what is on that view, come when it is consistent."""
    daemon = whole.follow(*ALL)
    whole.source.sql("""
        CREATE TABLE late (id int PRIMARY KEY, n int); INSERT INTO late VALUES (1, 2);
        CREATE VIEW joined AS SELECT b.id, l.n FROM base b JOIN late l USING (id);
        COMMENT ON VIEW joined IS 'of an old table and a new one'; GRANT SELECT ON joined TO cdcd_reader;
        CREATE FUNCTION of_late(l late) RETURNS SETOF joined LANGUAGE sql STABLE
            AS 'SELECT * FROM public.joined WHERE id = l.id';
        CREATE TRIGGER instead INSTEAD OF INSERT ON joined FOR EACH ROW EXECUTE FUNCTION instead();
        CREATE RULE nothing AS ON DELETE TO joined DO INSTEAD NOTHING""")
    whole.wait_equal(*CARRIED, "public.late")
    there = """SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass('joined')),
        (SELECT count(*) FROM pg_rewrite WHERE ev_class = to_regclass('joined')), to_regproc('of_late') IS NOT NULL,
        obj_description(to_regclass('joined'), 'pg_class'),
        has_table_privilege('cdcd_reader', to_regclass('joined'), 'SELECT')"""
    expected = [(1, 2, True, "of an old table and a new one", True)]
    assert whole.source.sql(there) == expected
    wait_until(lambda: whole.target.sql(there) == expected, 30, "all that is around the new table")
    assert whole.target.sql("SELECT * FROM joined") == [(1, 2)]
    daemon.stop()


LOCKED = {
    "before the data": "CREATE SCHEMA lib",
    "after it": "LOCK TABLE base IN ROW EXCLUSIVE MODE",
}


@pytest.mark.parametrize("when", LOCKED)
def test_a_kill_between_the_parts(whole: Pair, when: str) -> None:
    """What is missing is made by the next run, and nothing twice."""
    holder = whole.target.connect()
    with holder.cursor() as cursor:
        if when == "before the data":
            cursor.execute(f"BEGIN; {LOCKED[when]}")
        daemon = whole.cdcd("run", *whole.ends, "--load", "only", *ALL)
        if when != "before the data":
            there = "SELECT to_regclass('public.base') IS NOT NULL"
            wait_until(lambda: whole.target.sql(there) == [(True,)], 30, "the table")
            cursor.execute(f"BEGIN; {LOCKED[when]}")
        blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        wait_until(lambda: whole.target.admin(blocked, whole.target.name) != [] or not daemon.running, 30, "a wait")
        daemon.kill()
        holder.close()
    whole.run("--load", "only", *ALL)
    whole.equal(*CARRIED)
    around(whole)


def test_roles_that_are_not_there_are_found_before_the_start(whole: Pair) -> None:
    whole.source.server.execute("DROP ROLE IF EXISTS cdcd_nobody; CREATE ROLE cdcd_nobody")
    whole.source.sql("GRANT DELETE ON base TO cdcd_nobody; CREATE POLICY his ON base TO cdcd_nobody USING (false)")
    whole.source.sql("GRANT USAGE ON SCHEMA public TO cdcd_reader")
    try:
        whole.run("--load", "only", *ALL, code=3)
        assert whole.slots() == [], "something was started"
        told = whole.command("check", *ALL, "--json", code=3).json()["pipelines"][0]["findings"]
        mend = {one["id"]: one["mend"] for one in told if one["level"] == "error"}
        assert mend["PT-ROLE"].startswith('CREATE ROLE "cdcd_nobody"') and mend.keys() == {"PT-ROLE", "PT-GRANT"}
        for statement in mend.values():
            whole.target.admin(statement)
        whole.run("--load", "only", *ALL)
        around(whole)
    finally:
        for end in (whole.source, whole.target):
            if end.server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'cdcd_nobody'"):
                end.admin("DROP OWNED BY cdcd_nobody; DROP ROLE cdcd_nobody")


@pytest.mark.parametrize("selected", [["public.base"], ["public.log"]])
def test_what_depends_on_other_tables_stays(whole: Pair, selected: list[str]) -> None:
    options = [*ALL, "--tables", *selected]
    told = whole.command("plan", *options, "--load", "only", "--json").json()["pipelines"][0]["not_carried"]
    left = {one["name"] for one in told if one["kind"] in ("view", "materialized view", "trigger")}
    whole.run("--load", "only", *options)
    views = {row[0] for row in whole.target.sql("SELECT viewname FROM pg_views WHERE schemaname = 'public'")}
    if selected == ["public.base"]:
        assert views == {"one", 'two "2" odd'} and {"public.grouped", "public.over_grouped"} <= left
    else:
        assert not views and "public.one" in left and triggers(whole) == []


def test_passwords_are_in_no_command_line(whole: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded by programs in the place of both."""
    assert isinstance(whole.source.server, Postgres)
    for name in ("pg_dump", "pg_restore"):
        real = whole.source.server.bin / name
        (tmp_path / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/words\nexec {real} "$@"\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    whole.command("plan", *ALL)
    words = (tmp_path / "words").read_text()
    assert "--use-list" in words and f"dbname={whole.source.name}" in words
    for password in PASSWORDS.values():
        assert not any(part in words for part in (password, quote(password, safe=""), password.replace("'", "\\'")))


@since(16, "a version of which Debian brings no pg_dump")
@pytest.mark.parametrize("found", ["none", "an older one", "one that fails"])
def test_without_a_pg_dump_that_fits_nothing_is_started(
    whole: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    if found != "none":
        for name in ("pg_dump", "pg_restore"):
            version = 12 if found == "an older one" else 99
            script = f'#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) {version}.1" && exit\n'
            (tmp_path / name).write_text(f"{script}echo 'pg_dump: error: it is broken' >&2; exit 1\n")
            (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    broken = found == "one that fails"
    told = whole.run("--load", "only", *ALL, code=6 if broken else 2).text()
    assert ("it is broken" if broken else "needs pg_dump and pg_restore of PostgreSQL 18 or newer") in told
    assert "12.1" in told or found != "an older one"
    assert whole.slots() == [] and whole.target.sql("SELECT to_regclass('public.base') IS NULL") == [(True,)]


@since(17, "a server that has no adminpack")
def test_extensions_that_the_target_cannot_have(
    source_db15: Database, target_db: Database, cdcd: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is not there in a later version, one only a superuser may make."""
    pair = Pair(source_db15, target_db, cdcd)
    with_pg_dump(pair, monkeypatch)
    pair.source.admin("CREATE EXTENSION adminpack; CREATE EXTENSION pg_buffercache")
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    told = pair.command("check", *ALL, "--json", code=3).json()["pipelines"][0]["findings"]
    missing, forbidden = (one for one in told if one["id"] == "PT-EXTENSION")
    assert "no extension adminpack" in missing["message"] and "only a superuser" in forbidden["message"]
    pair.run("--load", "only", *ALL, code=3)
    pair.source.admin("DROP EXTENSION adminpack")
    pair.target.admin(forbidden["mend"])
    pair.run("--load", "only", *ALL)
    pair.equal("public.t")
