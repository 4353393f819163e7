"""The tests' own measure of equality: that it sees one changed byte, a double, a missing row."""

import pytest

from tests.equality import assert_equal, differences, except_all, wait_equal
from tests.servers import Database

TABLE = """
CREATE TABLE "T x" (a int, b text, c json, d bool, e numeric, f timestamptz, g char(4), h float8, i bytea);
INSERT INTO "T x" VALUES
    (1, 'a''"b,\\', '{"a": 1}', true, 1.00, '2024-01-02 03:04:05.678+02', 'x', 0.1, '\\x00ff'),
    (1, NULL, NULL, false, 'NaN', 'infinity', '', 'NaN', ''),
    (2, '', NULL, NULL, -0.0, NULL, NULL, -0.0, NULL),
    (2, '', NULL, NULL, -0.0, NULL, NULL, -0.0, NULL)
"""


@pytest.fixture
def pair(source_db: Database, target_db: Database) -> tuple[Database, Database]:
    for database in (source_db, target_db):
        database.sql(TABLE)
    target_db.admin(f"ALTER DATABASE {target_db.name} SET datestyle = 'German'")
    return source_db, target_db


def test_equal(pair: tuple[Database, Database]) -> None:
    source, target = pair
    assert_equal(source, target, ["T x"])
    wait_equal(source, target, ["T x"], limit=0)
    assert except_all(source, target, "T x") == ([], [])


@pytest.mark.parametrize(
    ("change", "missing", "surplus"),
    [
        ("DELETE FROM \"T x\" WHERE e = 'NaN'", 1, 0),
        ("INSERT INTO \"T x\" SELECT * FROM \"T x\" WHERE b LIKE 'a%'", 0, 1),
        ("DELETE FROM \"T x\" WHERE ctid = (SELECT max(ctid) FROM \"T x\")", 1, 0),
        ("UPDATE \"T x\" SET e = 1.0 WHERE b LIKE 'a%'", 1, 1),
        ("UPDATE \"T x\" SET b = NULL WHERE b = ''", 2, 2),
    ],
)
def test_different(pair: tuple[Database, Database], change: str, missing: int, surplus: int) -> None:
    source, target = pair
    target.sql(change)
    found = differences(source, target, "T x")
    assert [row[0] for row in found] == ["-"] * missing + ["+"] * surplus
    assert tuple(map(len, except_all(source, target, "T x"))) == (missing, surplus)
    with pytest.raises(AssertionError, match=f"{missing} rows missing, {surplus} too many"):
        assert_equal(source, target, ["T x"])
