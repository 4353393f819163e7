"""`cdcd plan` tells what a run does: the servers' own logs are compared with it."""

import pytest

from tests.met.catalogue import EVERYTHING
from tests.met.pair import Pair
from tests.met.planned import as_planned


@pytest.mark.parametrize("options", [("--load", "only"), ()], ids=["copied", "followed"])
def test_a_run_does_what_the_plan_says(pair: Pair, options: tuple[str, ...]) -> None:
    pair.source.sql(EVERYTHING)
    plan = as_planned(pair, *options)
    assert plan["target"][0]["statement"] == "CREATE SCHEMA cdcd"
    assert {one["table"] for one in plan["tables"]} >= {"public.parent", "public.parts"}
    assert {"public.parent_id_seq", "apart.free"} <= set(plan["sequences"])


def test_the_plan_of_what_runs_already(pair: Pair) -> None:
    """What the cut-over will make, and all that a table which joins brings; not what somebody dropped since."""
    pair.source.sql("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x text); CREATE INDEX ON t (x)")
    pair.run()
    pair.target.sql("DROP INDEX t_x_idx")

    def planned() -> tuple[int, list[str]]:
        told = pair.command("plan", "--json").json()["pipelines"][0]
        return len(told["source"]), [one["kind"] for one in told["target"]]

    assert planned() == (0, ["identity"])
    pair.source.sql("CREATE TABLE later (id int PRIMARY KEY)")
    assert planned() == (1, ["table", "index", "identity"])


AROUND = """
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE TABLE t (id int PRIMARY KEY, c citext) WITH (fillfactor = 70); CREATE TABLE other (id int PRIMARY KEY);
ALTER TABLE t ADD CONSTRAINT far FOREIGN KEY (id) REFERENCES other;
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE VIEW v AS SELECT id FROM t; CREATE MATERIALIZED VIEW m AS SELECT id FROM v;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE PROCEDURE p() LANGUAGE sql AS '';
CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int);
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE RULE r AS ON DELETE TO t DO ALSO NOTIFY gone;
CREATE POLICY pol ON t USING (true); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON t TO PUBLIC; CREATE STATISTICS st ON id, c FROM t;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
SELECT lo_create(0);
CREATE TABLE child () INHERITS (t); ALTER TABLE child ADD PRIMARY KEY (id)
"""
SUPERUSER = """
CREATE EXTENSION postgres_fdw; CREATE SERVER nowhere FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE abroad (id int) SERVER nowhere; CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS
'BEGIN END'; CREATE EVENT TRIGGER et ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION ev()
"""


def test_what_is_not_carried_is_told_with_what_brings_it(pair: Pair) -> None:
    pair.source.sql(AROUND)
    pair.source.admin(SUPERUSER)
    tables = ("--tables", "public.t", "--tables", "public.child", "--tables", "public.parts")
    try:
        told = pair.command("plan", *tables, "--json").json()["pipelines"][0]["not_carried"]
        text = pair.command("plan", *tables).output.read_text()
    finally:
        pair.source.admin("DROP EVENT TRIGGER et")
    found = {(one["kind"], one["name"]): one["brings"] for one in told}
    everything = '--objects all, or objects = "all" in the file'
    for kind, name in [
        ("view", "public.v"), ("materialized view", "public.m"), ("function", "public.f()"),
        ("procedure", "public.p()"), ("aggregate", "public.total(integer)"), ("trigger", "tr on public.t"),
        ("rule", "r on public.t"), ("policy", "pol on public.t"), ("row security", "public.t"),
        ("grants", "public.t"), ("statistics", "public.st"), ("extension", "hstore"),
    ]:  # fmt: skip
        assert found.pop((kind, name)) == everything
    assert found.pop(("foreign key", "far on public.t")) == "--tables public.other, to which it refers"
    assert "INHERIT public.t" in found.pop(("inheritance", "public.child"))
    assert "CREATE EVENT TRIGGER et ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.ev()" in (
        found.pop(("event trigger", "et"))
    )
    assert "SET (fillfactor=70)" in found.pop(("storage options", "public.t"))
    assert "REASSIGN OWNED" in found.pop(("owner", "app"))
    assert "--target-tables use" in found.pop(("partitions", "public.parts"))
    assert {"foreign server", "foreign table", "large objects", "default privileges"} <= {kind for kind, _ in found}
    assert all(found.values())
    assert ("extension", "citext") not in found, "the table needs it"
    for line in ('CREATE EXTENSION "citext" SCHEMA "public";', 'CREATE_REPLICATION_SLOT "cdcd_', "view public.v: --"):
        assert line in text
    wrong = [line for line in text.splitlines() if not (line.startswith("--") or line.endswith(";"))]
    assert not wrong, "neither statement nor comment"
