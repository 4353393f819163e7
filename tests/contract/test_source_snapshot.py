"""What a source's snapshots hold, how they are read in chunks, and that `bounds`, `locate` and the ranges agree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from cdcd.contracts import Snapshot, Source
from cdcd.errors import SnapshotLost, StateRefused
from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from connectors.memory import form as text_form
from tests.contract.case import SourceCase
from tests.contract.changes import BIG, ITEMS, LINES, Delete, Truncate, Update, item, line
from tests.contract.reading import events, keys, open_at, read, rows_of


@pytest.fixture
def source(at: SourceCase) -> Iterator[Source]:
    at.create(ITEMS)
    at.create(LINES)
    source = at.source()
    yield source
    source.close()
    source = at.source()
    source.drop()
    source.close()


def prepare(source: Source, intent: dict[str, object] | None = None) -> tuple[Snapshot, dict[str, Table]]:
    tables = {table.name: table for table in source.tables([ITEMS.id, LINES.id])}
    return source.prepare(list(tables.values()), intent or source.intent(), load=True), tables


def rows(snapshot: Snapshot, table: Table, chunk: Chunk | None = None) -> list[tuple[object, ...]]:
    return rows_of(snapshot.read(table, chunk or Chunk(table.id, 0), [text_form.form(table)]))


class TestContent:
    def test_a_snapshot_is_exactly_what_the_stream_will_not_bring(self, at: SourceCase, source: Source) -> None:
        at.commit(item(1, big=BIG), item(2), line("a"), line("a"))
        snapshot, tables = prepare(source)
        at.commit(item(3), line("a"), Update(ITEMS, ("1",), {"v": "w"}), Delete(ITEMS, ("2",)))
        assert rows(snapshot, tables["items"]) == [("1", "v", BIG), ("2", "v", None)]
        assert rows(snapshot, tables["lines"]) == [("a",), ("a",)]
        position = snapshot.position
        snapshot.close()
        open_at(source, Checkpoint(position), tables.values())
        came = [event[0] for event in events(read(source)[0])]
        assert came == ["insert", "insert", "update", "delete"]

    def test_a_later_snapshot_has_a_place_in_the_same_log(self, at: SourceCase, source: Source) -> None:
        first, tables = prepare(source)
        first.close()
        open_at(source, Checkpoint(first.position), tables.values())
        at.commit(item(1))
        second = source.snapshot(list(tables.values()))
        at.commit(item(2))
        assert rows(second, tables["items"]) == [("1", "v", None)]
        assert [event[2][0] for event in events(read(source, stop=second.position)[0])] == ["1"]
        second.close()

    def test_a_later_snapshot_holds_what_the_stream_does_not_carry_yet(self, at: SourceCase, source: Source) -> None:
        """As after a crash before any chunk was in."""
        first, tables = prepare(source)
        first.close()
        open_at(source, Checkpoint(first.position), [])
        at.commit(item(1))
        second = source.snapshot(list(tables.values()))
        assert rows(second, tables["items"]) == [("1", "v", None)]
        second.interrupt()
        second.close()
        at.commit(item(2))
        assert events(read(source)[0]) == []  # and goes on, whatever became of the snapshot

    def test_blocks_are_counted_as_they_are_read(self, at: SourceCase, source: Source) -> None:
        at.commit(*(item(number) for number in range(50)))
        snapshot, tables = prepare(source)
        blocks = snapshot.read(tables["items"], Chunk(ITEMS.id, 0), [text_form.form(tables["items"])])
        assert blocks.counts["rows"] == 0
        size = sum(map(len, blocks.data))
        assert blocks.counts == {"rows": 50, "bytes": size}
        snapshot.close()

    def test_values_that_look_like_something_else_come_as_they_are(self, at: SourceCase, source: Source) -> None:
        values = ["", "\\N", "\\.", "a\tb", "a\nb", "NULL", "'", "\\", "ä\U0001f600", "{}", " x "]
        at.commit(*(item(number, v=value) for number, value in enumerate(values)))
        snapshot, tables = prepare(source)
        loaded = rows(snapshot, tables["items"])
        snapshot.close()
        open_at(source, Checkpoint(snapshot.position), tables.values())
        at.commit(*(item(100 + number, v=value) for number, value in enumerate(values)))
        streamed = [event[2] for event in events(read(source)[0])]
        assert {row[1] for row in loaded} == set(values)
        assert [row[1] for row in streamed] == values


class TestLost:
    def test_a_table_truncated_after_the_place(self, at: SourceCase, source: Source) -> None:
        """T-PG-6: it would read as empty."""
        at.commit(item(1))
        snapshot, tables = prepare(source)
        at.commit(Truncate((ITEMS,)))
        with pytest.raises(SnapshotLost):
            rows(snapshot, tables["items"])
        assert rows(snapshot, tables["lines"]) == []
        snapshot.close()

    def test_a_table_altered_after_the_place(self, at: SourceCase, source: Source) -> None:
        at.commit(item(1))
        snapshot, tables = prepare(source)
        at.add_column(ITEMS)
        with pytest.raises(SnapshotLost):
            rows(snapshot, tables["items"])
        snapshot.close()

    def test_a_snapshot_that_was_closed(self, at: SourceCase, source: Source) -> None:
        snapshot, tables = prepare(source)
        snapshot.close()
        with pytest.raises(SnapshotLost):
            rows(snapshot, tables["items"])


class TestPrepare:
    def test_nothing_is_made_by_the_intent(self, at: SourceCase, source: Source) -> None:
        assert source.intent() != {}
        prepare(source)[0].close()

    def test_what_an_earlier_run_intended_is_made_anew(self, at: SourceCase, source: Source) -> None:
        """T-PG-14: a crash after the slot was made, before the first checkpoint."""
        intent = dict(source.intent())
        first, tables = prepare(source, intent)
        first.close()
        source.close()
        at.commit(item(1))
        again = at.source()
        second, _ = prepare(again, {**intent, "stored": True})
        assert rows(second, tables["items"]) == [("1", "v", None)]
        assert not first.position.covers(second.position)
        second.close()
        again.close()

    def test_a_slot_that_nobody_intended_is_refused(self, at: SourceCase, source: Source) -> None:
        at.needs("slot")
        prepare(source)[0].close()
        source.close()
        again = at.source()
        with pytest.raises(StateRefused):
            prepare(again)
        again.close()


NUMBERS = (-5, 0, 1, 7, 9, 10, 11, 99, 100, 1000, 12345)


class TestChunks:
    def test_ranges_between_bounds_hold_every_row_once(self, at: SourceCase, source: Source) -> None:
        at.commit(*(item(number, v="x" * 20) for number in range(-50, 450)))
        snapshot, tables = prepare(source)
        chunks = cut(source, tables["items"], 2000)
        assert len(chunks) > 3
        parts = [rows(snapshot, tables["items"], chunk) for chunk in chunks]
        assert all(parts)
        assert sorted((row for part in parts for row in part), key=str) == at.rows(ITEMS)
        snapshot.close()

    def test_a_key_is_located_in_the_range_that_reads_it(self, at: SourceCase, source: Source) -> None:
        """The source's own order: 9 is before 10."""
        at.commit(*(item(number) for number in NUMBERS))
        snapshot, tables = prepare(source)
        table = tables["items"]
        bounds = [("0",), ("9",), ("100",)]
        edges = [None, *bounds, None]
        chunks = [
            Chunk(table.id, number, low, high, ("id",))
            for number, (low, high) in enumerate(pairwise(edges))
        ]
        expected = {row[0]: chunk.number for chunk in chunks for row in rows(snapshot, table, chunk)}
        snapshot.close()
        form = at.form(table)
        source.open(Checkpoint(snapshot.position), source.identity(), {table.id: [form]})
        at.commit(*(Update(ITEMS, (str(number),), {"v": "w"}) for number in NUMBERS))
        groups, _ = read(source)
        found = source.locate(table, ("id",), bounds, form, keys(groups, table.id))
        assert found == [expected[str(number)] for number in NUMBERS]

    def test_a_keyless_table_is_one_chunk(self, at: SourceCase, source: Source) -> None:
        at.commit(*(line(str(number)) for number in range(500)))
        table = source.tables([LINES.id])[0]
        assert source.bounds(table, 100) == []
        prepare(source)[0].close()


def cut(source: Source, table: Table, size: int) -> list[Chunk]:
    bounds = source.bounds(table, size)
    edges = [None, *(bound for _, bound in bounds), None]
    columns = bounds[0][0] if bounds else ()
    return [
        Chunk(table.id, number, low, high, columns)
        for number, (low, high) in enumerate(pairwise(edges))
    ]
