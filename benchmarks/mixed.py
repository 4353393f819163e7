"""The 10-column mixed table of all benchmarks, and the backlog of changes to it that the contenders read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.servers import Pair
from tests.equality import digest
from tests.servers import Database

Kind = Literal["inserts", "updates", "deletes", "updates, ten to a key"]

SCHEMA = """
CREATE TABLE mixed (
    id bigint PRIMARY KEY, quantity int, grade smallint, active bool, weight float8, at timestamptz,
    price numeric(12,2), tag uuid, name text, note text
);
CREATE TABLE marker (id int PRIMARY KEY);
"""

ROWS = """
SELECT i, (i * 7919) % 1000003, i % 30000, i % 3 = 0, i * 1.618,
       timestamptz '2024-01-01 00:00:00.123456+00' + i * interval '1 s', i % 1000000 * 0.37, md5(i::text)::uuid,
       'customer ' || lpad(i::text, 11, '0'), md5((-i)::text) || ' a note'
FROM generate_series({first}::bigint, {last}::bigint) i
"""

SET = "quantity = quantity + 1, weight = weight * 1.01, at = at + interval '1 min', name = 'changed ' || id"

# Statements for the block of keys first..last. Each stands in a loop of plpgsql and is planned once.
BLOCK = {
    "inserts": f"INSERT INTO mixed {ROWS.format(first='first', last='last')}",
    "updates": f"UPDATE mixed SET {SET} WHERE id BETWEEN first AND last",
    "deletes": "DELETE FROM mixed WHERE id BETWEEN first AND last",
}

BLOCKS = """
DO $$
DECLARE first bigint; last bigint;
BEGIN
    FOR k IN 0 .. {blocks} - 1 LOOP
        first := k * {size} + 1; last := first + {size} - 1;
        {statement};
        COMMIT;
    END LOOP;
END $$
"""

TEN_TO_A_KEY = """
DO $$
DECLARE first bigint; last bigint;
BEGIN
    FOR k IN 0 .. {blocks} - 1 LOOP
        FOR round IN 1 .. 10 LOOP
            FOR part IN 0 .. 100 / {size} - 1 LOOP
                first := k * 100 + part * {size} + 1; last := first + {size} - 1;
                {statement};
                {commit_each}
            END LOOP;
        END LOOP;
        COMMIT;
    END LOOP;
END $$
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """`rows` changes of a kind, `size` to a transaction, in the order of the key.

    Ten to a key: a hundred keys are changed ten times over, then the next hundred; in one transaction of 1,000 changes,
    or in 1,000 transactions.
    """

    kind: Kind
    rows: int
    size: int

    @property
    def kept(self) -> int:
        """Rows that the table has before."""
        return {"inserts": 0, "updates, ten to a key": self.rows // 10}.get(self.kind, self.rows)

    def fill(self, pair: Pair) -> None:
        """Make the table at both ends, equal; the target keeps a copy to begin each run with."""
        pair.sql(SCHEMA)
        rows = ROWS.format(first=1, last=self.kept)
        pair.source.sql(f"INSERT INTO mixed {rows}")
        pair.target.sql(f"CREATE UNLOGGED TABLE before (LIKE mixed); INSERT INTO before {rows}")

    def reset(self, pair: Pair) -> None:
        """The target as it was before."""
        pair.target.sql("TRUNCATE mixed, marker; INSERT INTO mixed SELECT * FROM before")
        for table in ("mixed", "marker"):
            pair.target.sql(f"VACUUM ANALYZE {table}")

    def write(self, source: Database) -> None:
        """Write all of it, and the marker at its end."""
        connection = source.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = off")
                cursor.execute(self._program())
                cursor.execute("INSERT INTO marker VALUES (1)")
        finally:
            connection.close()

    def _program(self) -> str:
        if self.kind == "updates, ten to a key":
            return TEN_TO_A_KEY.format(
                blocks=self.rows // 1000, size=min(self.size, 100), statement=BLOCK["updates"],
                commit_each="COMMIT;" if self.size == 1 else "",
            )
        return BLOCKS.format(blocks=self.rows // self.size, size=self.size, statement=BLOCK[self.kind])

    @staticmethod
    def verify(pair: Pair) -> None:
        """The target is what the source is: a contender that does less work is no contender."""
        source, target = digest(pair.source, "mixed"), digest(pair.target, "mixed")
        if source != target:
            raise AssertionError(f"the target differs: {source} at the source, {target} at the target")
