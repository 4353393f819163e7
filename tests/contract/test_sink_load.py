"""Chunks at a sink: written side by side with their record, only at their place, and emptied when they go back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cdcd.errors import CdcdError, Conflict, SnapshotLost
from cdcd.model.chunk import Chunk, State
from tests.contract.case import SinkCase
from tests.contract.changes import ITEMS, LINES, item, line
from tests.contract.writing import Owner, place

LOW = Chunk(ITEMS.id, 0, None, ("9",), ("id",))
MIDDLE = Chunk(ITEMS.id, 1, ("9",), ("100",), ("id",))
HIGH = Chunk(ITEMS.id, 2, ("100",), None, ("id",))
ALL = Chunk(LINES.id, 0)


@pytest.fixture
def owner(to: SinkCase) -> Iterator[Owner]:
    owner = Owner(to)
    owner.start([LOW, MIDDLE, HIGH, ALL])
    yield owner
    owner.sink.close()


def states(owner: Owner) -> dict[tuple[str, int], State]:
    return {chunk.id: chunk.state for chunk in owner.claim.chunks}


class TestLoad:
    def test_rows_and_record_together(self, to: SinkCase, owner: Owner) -> None:
        assert owner.load(LOW, ITEMS, [("1", "v", None), ("2", None, "")]) == 2
        assert to.rows(ITEMS) == [("1", "v", None), ("2", None, "")]
        owner.again()
        assert states(owner) == {
            LOW.id: State.IN, MIDDLE.id: State.UNREAD, HIGH.id: State.UNREAD, ALL.id: State.UNREAD,
        }
        (loaded,) = (chunk for chunk in owner.claim.chunks if chunk.id == LOW.id)
        assert (loaded.low, loaded.high, loaded.columns, loaded.rows) == (None, ("9",), ("id",), 2)

    def test_an_empty_chunk_is_in_too(self, owner: Owner) -> None:
        assert owner.load(HIGH, ITEMS, []) == 0
        owner.again()
        assert states(owner)[HIGH.id] is State.IN

    @pytest.mark.failure("T-PG-7", "T-PG-17")
    def test_only_where_the_snapshot_was_taken(self, to: SinkCase, owner: Owner) -> None:
        """T-PG-7, T-PG-17: once the stream has passed the place, a chunk can not be made right."""
        owner.apply(2)
        with pytest.raises(CdcdError):
            owner.load(LOW, ITEMS, [("1", "v", None)], at=1)
        assert to.rows(ITEMS) == []
        owner.load(LOW, ITEMS, [("1", "v", None)], at=2)
        assert len(to.rows(ITEMS)) == 1

    def test_a_chunk_that_is_in_is_not_written_again(self, to: SinkCase, owner: Owner) -> None:
        owner.load(ALL, LINES, [("a",)])
        with pytest.raises(CdcdError):
            owner.load(ALL, LINES, [("a",)])
        assert to.rows(LINES) == [("a",)]

    def test_a_row_that_is_there_already_is_a_conflict(self, to: SinkCase, owner: Owner) -> None:
        owner.load(LOW, ITEMS, [("1", "v", None)])
        with pytest.raises(Conflict):
            owner.load(MIDDLE, ITEMS, [("10", "v", None), ("1", "w", None)])
        assert len(to.rows(ITEMS)) == 1

    def test_reading_that_fails_writes_nothing(self, to: SinkCase, owner: Owner) -> None:
        def lost() -> Iterator[bytes]:
            yield b""
            raise SnapshotLost("it went")

        with pytest.raises(SnapshotLost):
            owner.load(LOW, ITEMS, [("1", "v", None)], more=lost())
        owner.again()
        assert states(owner)[LOW.id] is State.UNREAD
        assert to.rows(ITEMS) == []

    @pytest.mark.failure("T-PO-9")
    def test_loads_go_side_by_side(self, to: SinkCase, owner: Owner) -> None:
        """T-PO-9: each of three waits, in the middle of its rows, until all have come so far."""
        meeting = threading.Barrier(3, timeout=10)
        owner.group(item(1))  # forms are asked for by the writer's thread only
        failures: list[BaseException] = []

        def meet() -> Iterator[bytes]:
            meeting.wait()
            yield b""

        def load(chunk: Chunk, number: int) -> None:
            try:
                owner.load(chunk, ITEMS, [(str(number), "v", None)], more=meet())
            except BaseException as error:
                failures.append(error)

        threads = [
            threading.Thread(target=load, args=(chunk, number))
            for chunk, number in ((LOW, 1), (MIDDLE, 50), (HIGH, 500))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(to.rows(ITEMS)) == 3


class TestBack:
    def test_a_chunk_that_goes_back_is_emptied_with_the_checkpoint(self, to: SinkCase, owner: Owner) -> None:
        """By the source's order of keys, and after the group's own changes."""
        for chunk, number in ((LOW, 8), (MIDDLE, 9), (HIGH, 100)):
            owner.load(chunk, ITEMS, [(str(number), "v", None)])
        owner.apply(2, item(10), item(200), item(-3), unread=[MIDDLE.with_state(State.IN)])
        assert sorted(int(row[0] or "") for row in to.rows(ITEMS)) == [-3, 8, 100, 200]
        assert owner.again() == 2
        assert states(owner)[MIDDLE.id] is State.UNREAD
        owner.load(MIDDLE, ITEMS, [("9", "w", None)], at=2)
        assert len(to.rows(ITEMS)) == 5

    def test_it_goes_back_with_its_group_or_not_at_all(self, to: SinkCase, owner: Owner) -> None:
        owner.load(ALL, LINES, [("a",), ("a",)])
        owner.load(LOW, ITEMS, [("1", "v", None)])
        with pytest.raises(Conflict):
            owner.apply(2, item(1), unread=[ALL.with_state(State.IN)])
        owner.again()
        assert states(owner)[ALL.id] is State.IN
        assert to.rows(LINES) == [("a",), ("a",)]
        owner.apply(2, line("b"), unread=[ALL.with_state(State.IN)])
        assert to.rows(LINES) == []

    def test_tables_that_join_are_unread(self, to: SinkCase) -> None:
        owner = Owner(to)
        tables = [to.table(ITEMS)]
        owner.sink.prepare(tables)
        owner.sink.start(place(1), tables, [LOW.with_state(State.IN)])
        owner.sink.finish(tables, [])
        owner.sink.join([to.table(LINES)], [ALL])
        owner.load(ALL, LINES, [("a",)])
        owner.apply(2, line("b"))
        owner.again()
        assert set(owner.claim.tables) == {ITEMS.id, LINES.id}
        assert not owner.claim.finished
        assert to.rows(LINES) == [("a",), ("b",)]
        owner.sink.close()
