"""At cut-over the target gets what the application needs to write there; what our role may not make is told before."""

import pytest

from tests.met.pair import Pair

T = "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x text)"
KINDS = "SELECT attidentity FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attname = 'id'"


@pytest.mark.failure("T-DB-1")
def test_cutover_hands_the_target_over(pair: Pair) -> None:
    """And the way back takes it back first, so that the daemon can go on."""
    pair.source.sql(f"{T}; INSERT INTO t (x) VALUES ('a'), ('b')")
    daemon = pair.follow()
    pair.source.sql("INSERT INTO t (x) VALUES ('c')")
    assert pair.target.sql(KINDS) == [("d",)]
    done = pair.command("cutover", "--fenced", "--json").json()
    assert pair.target.sql(KINDS) == [("a",)]
    assert done["made"] == ['ALTER TABLE "public"."t" ALTER "id" SET GENERATED ALWAYS'] and done["by_hand"] == []
    assert [step["step"] for step in done["steps"]][-1] == "hand the target over"
    undo, fence = done["way_back"]["now"]
    assert "at the target" in undo and "at the source" in fence
    pair.target.sql(undo.partition(";")[0])
    pair.source.sql("INSERT INTO t (x) VALUES ('after all here')")
    pair.wait_equal("public.t")
    daemon.stop()


def test_what_the_role_may_not_make_is_told_before_the_fence(pair: Pair) -> None:
    pair.source.sql(f"{T}; INSERT INTO t (x) VALUES ('a')")
    pair.target.admin(f"{T.replace('ALWAYS', 'BY DEFAULT')}; ALTER TABLE t OWNER TO app;"
                      f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON t TO {pair.target.role};"
                      f"GRANT SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {pair.target.role}")  # fmt: skip
    daemon = pair.follow("--target-tables", "use")
    cutover = pair.command("cutover", "--fenced")
    assert pair.target.sql(KINDS) == [("d",)]
    before, _, after = cutover.text().partition("To be made at the target by hand")
    line = 'ALTER TABLE "public"."t" ALTER "id" SET GENERATED ALWAYS;'
    assert line in after and "nobody writes" not in before
    assert line in cutover.output.read_text().partition("STILL TO BE MADE")[2]
    daemon.stop()
