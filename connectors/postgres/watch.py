"""Whether the publication still sends what it sent (T-SC-4), and whose partitions others touched (T-PG-21): looked at
now and then, as no message tells of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cdcd.contracts import Finding
from cdcd.errors import StateRefused
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.catalogue import read_tables
from connectors.postgres.check_publication import shortcomings
from connectors.postgres.findings import finding
from connectors.postgres.names import quote_identifier

# A table that was taken out and put in again has another row here. One that comes by schema, or with all, has none.
_MEMBERS = """
SELECT p.oid::int8, p.xmin::text, coalesce((SELECT jsonb_object_agg(r.prrelid::int8, r.oid::int8)
    FROM pg_publication_rel r WHERE r.prpubid = p.oid), '{}')
FROM pg_publication p WHERE p.pubname = %s
"""


class PublicationWatch:
    """`look` compares with what is needed, and with what was there the last time. Any thread."""

    def __init__(self, asker: Asker, publication: str, by_root: bool) -> None:
        self._asker = asker
        self._name = publication
        self._by_root = by_root
        self._tables: Sequence[Table] = ()
        self._seen: tuple[int, str, dict[str, int]] | None = None
        self._leaves: dict[int, tuple[str, ...]] = {}
        self._found: list[Finding] = []  # seen before a change of our own
        self._lock = threading.Lock()

    @contextmanager
    def changed(self, tables: Sequence[Table]) -> Iterator[None]:
        """What is done in the block changes the publication on our own behalf; these are carried afterwards."""
        with self._lock:
            self._found += self._meanwhile()
            yield
            self._tables, self._seen = list(tables), self._members()
            for table in tables:
                self._leaves.setdefault(table.oid, table.leaves)

    def begin(self, tables: Sequence[Table]) -> None:
        """The stream is about to send these: StateRefused where the publication does not, or under other names."""
        if roots := [table.id for table in tables if table.partitioned and not self._by_root]:
            raise StateRefused(
                f"{', '.join(roots)}: carried by this pipeline as a whole before, and by leaves now",
                why="its rows are at the target under the root's name, and would come once more under others",
                hint='set partitions = "root" again, or `cdcd drop` this pipeline and start a new one',
            )
        with self.changed(tables):
            pass
        for error in self.look():
            hint = f"{error.mend} -- and then cdcd reload what missed changes"
            raise StateRefused(error.message, why=f"[{error.id}] {error.evidence}", hint=hint)

    def look(self) -> list[Finding]:
        """Errors: changes of these tables are not sent, or some were not. Tables that were dropped or renamed at the
        source are somebody else's matter."""
        with self._lock:
            if not self._tables:
                return []
            found = list(shortcomings(self._asker, self._name, self._by_root, self._as_now()))
            if found:  # what was altered between the two questions is not found twice; another table's may be, then
                again = list(shortcomings(self._asker, self._name, self._by_root, self._as_now()))
                found = [one for one in again if one in found]
            found, self._found = [*found, *self._found], []
            return found or list(self._meanwhile())

    def _members(self) -> tuple[int, str, dict[str, int]] | None:
        rows: list[Any] = self._asker.ask(_MEMBERS, self._name)
        return rows[0] if rows else None

    def _as_now(self) -> list[Table]:
        known = {table.id: table for table in self._tables}
        with self._asker.connection() as connection:
            now = read_tables(connection, list(known), not self._by_root)
        return [table for table in now if table.oid == known[table.id].oid]

    def leaves(self) -> tuple[list[Table], list[Table]]:
        """Partitioned tables with other partitions or files than the last time, as they are now. First those of which
        rows came or went (T-PG-21): one was truncated, rewritten, detached, dropped, or attached and not made as one;
        then the others."""
        stale, grown = [], []
        with self._lock:
            for table in self._as_now() if any(table.partitioned for table in self._tables) else ():
                before, self._leaves[table.oid] = self._leaves[table.oid], table.leaves
                moved, other = leaves_moved(before, table.leaves)
                if moved:
                    stale.append(table)
                elif other:
                    grown.append(table)
        return stale, grown

    def _meanwhile(self) -> Iterator[Finding]:
        """It is as it should be; but was it all the time?"""
        before, self._seen = self._seen, self._members()
        if before is None or self._seen is None:
            return  # that it is gone is found by who looks what it lacks
        (oid, row, members), (was, its, had) = self._seen, before
        again = [t.id for t in self._tables if members.get(str(t.oid)) != had.get(str(t.oid))]
        if again and oid == was:  # one that was dropped left by itself
            again = [table.id for table in self._as_now() if table.id in again]
        if oid != was or again:
            what = "was dropped and made again" if oid != was else f"lost {', '.join(again)} for a while"
            yield finding("PG-PUBLICATION-AGAIN", f"the publication {what}: what came between was not sent",
                          self._name, "cdcd reload each of these tables, or begin a new pipeline")  # fmt: skip
        elif row != its:
            yield finding("PG-PUBLICATION-TOUCHED", "somebody altered the publication; it is as it should be now",
                          self._name, f"cdcd validate, if it was ALTER PUBLICATION {quote_identifier(self._name)} SET")


def leaves_moved(before: Sequence[str], after: Sequence[str]) -> tuple[bool, bool]:
    """Whether rows came or went with these partitions or files; whether any is another."""
    known, now = _files(before), _files(after)
    came = any(leaf not in known for leaf in after if not leaf.endswith("+"))
    return bool(known - now) or came, known != now


def _files(leaves: Sequence[str]) -> set[str]:
    return {leaf.removesuffix("+") for leaf in leaves}
