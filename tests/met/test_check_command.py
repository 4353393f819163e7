"""`cdcd check` as its users run it: before anything is started, and beside a pipeline that runs."""

import json
from pathlib import Path

import pytest

from tests.met.pair import Pair
from tests.met.test_checks import untouched
from tests.met.test_stops import T, stopped


@pytest.mark.failure("PG-27", "PG-05")
def test_before_anything_is_started(pair: Pair) -> None:
    """Errors exit 3 with the statement that mends them, warnings 0 but for --strict; nothing is made anywhere."""
    pair.source.sql(T + "; CREATE TABLE bare (a int); CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY)")
    daemon = pair.command("check", code=3)
    text = daemon.output.read_text()
    assert "[PG-NO-IDENTITY] public.bare" in text
    assert 'mend: ALTER TABLE "public"."bare" REPLICA IDENTITY FULL' in text
    assert "[PG-UNLOGGED] public.scratch" in text
    stopped(daemon, "1 thing would go wrong")
    told = pair.command("check", "--json", code=3).json()
    assert told["version"] == 1
    ((pipeline,),) = (told["pipelines"],)
    assert pipeline["name"] == pair.name
    assert pipeline["tables"] == ["public.bare", "public.t"]
    errors = [finding for finding in pipeline["findings"] if finding["level"] == "error"]
    assert [(finding["end"], finding["id"]) for finding in errors] == [("source", "PG-NO-IDENTITY")]
    assert {"id", "level", "end", "message", "evidence", "mend"} == set(errors[0])
    pair.source.sql(errors[0]["mend"].partition(" -- ")[0])
    warnings = pair.command("check", "--json").json()["pipelines"][0]["findings"]
    assert {finding["id"] for finding in warnings} == {"PG-UNLOGGED", "PG-KEYLESS", "PT-REPLICA-ROLE"}
    pair.command("check", "--strict", code=3)
    untouched(pair)
    assert pair.target.sql("SELECT to_regnamespace('cdcd') IS NULL") == [(True,)]


def test_beside_a_pipeline_that_runs(pair: Pair) -> None:
    """What it made itself, the rows it loaded and the foreign keys it built among it, is not found wrong."""
    pair.source.sql(T + "; CREATE TABLE u (id int PRIMARY KEY, t bigint UNIQUE REFERENCES t)")
    daemon = pair.follow()
    daemon.wait_said("consistent")
    told = pair.command("check", "--json").json()["pipelines"][0]["findings"]
    assert {finding["id"] for finding in told} == {"PT-REPLICA-ROLE"}
    pair.source.sql("INSERT INTO t VALUES (5000, 'after')")
    pair.wait_equal("public.t", "public.u")
    daemon.stop()


def test_the_pipelines_of_a_file(pair: Pair, tmp_path: Path) -> None:
    pair.source.sql(T)
    file = tmp_path / "cdcd.toml"
    one = f'[[pipeline]]\nname = "{{}}"\nfrom = {json.dumps(pair.source.url)}\nto = {json.dumps(pair.target.url)}\n'
    file.write_text(one.format("one") + 'tables = ["public.t"]\n' + one.format("two") + 'publication = "nowhere"\n')
    both = pair.cdcd("check", "-c", str(file))
    both.wait(3)
    text = both.output.read_text()
    assert "one: 1 table, 1 warning" in text
    assert "[PG-PUBLICATION] the publication does not exist" in text
    pair.cdcd("check", "-c", str(file), "one").wait(0)
    away = pair.over(target="postgresql://u@127.0.0.1:1/d")
    assert "127.0.0.1:1" in away.command("check", code=4).text()
