"""What a sink makes of a group: all of it with its checkpoint, or nothing, and every count strict."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdcd.errors import CdcdError, Conflict, PoisonRow
from cdcd.model.cell import UNCHANGED
from cdcd.model.chunk import Chunk, State
from tests.contract.case import SinkCase
from tests.contract.changes import (
    BIG,
    ITEMS,
    LINES,
    NOTES,
    OTHERS,
    PAIRS,
    USERS,
    Delete,
    Insert,
    Truncate,
    item,
    line,
)
from tests.contract.writing import Acted, Owner, Replace


@pytest.fixture
def owner(to: SinkCase) -> Iterator[Owner]:
    owner = Owner(to)
    owner.start([Chunk(spec.id, 0, state=State.IN) for spec in (ITEMS, LINES, USERS)])
    yield owner
    owner.sink.close()


class TestChanges:
    def test_every_kind(self, to: SinkCase, owner: Owner) -> None:
        owner.apply(2, item(1), item(2), item(3), line("a"), line("a"))
        owner.apply(3, Replace(ITEMS, ("1",), ("1", "w", None)), Delete(ITEMS, ("2",)), Delete(LINES, ("a",)))
        assert to.rows(ITEMS) == [("1", "w", None), ("3", "v", None)]
        assert to.rows(LINES) == [("a",)]
        assert owner.again() == 3

    def test_one_row_many_times_in_a_group(self, to: SinkCase, owner: Owner) -> None:
        owner.apply(
            2,
            item(1),
            Replace(ITEMS, ("1",), ("1", "w", None)),
            Delete(ITEMS, ("1",)),
            item(1, "again"),
            Replace(ITEMS, ("1",), ("2", "moved", None)),
            item(1, "third"),
        )
        assert to.rows(ITEMS) == [("1", "third", None), ("2", "moved", None)]

    @pytest.mark.failure("T-FO-1", "TG-08")
    def test_a_cell_that_was_not_sent_stays(self, to: SinkCase, owner: Owner) -> None:
        """T-FO-1: also where the key changes, and changes again in the group."""
        owner.apply(2, item(1, big=BIG), item(2, big=BIG))
        owner.apply(3, Replace(ITEMS, ("1",), ("1", None, UNCHANGED)))
        owner.apply(
            4,
            Replace(ITEMS, ("2",), ("5", "w", UNCHANGED)),
            Replace(ITEMS, ("5",), ("6", UNCHANGED, UNCHANGED)),
        )
        assert to.rows(ITEMS) == [("1", None, BIG), ("6", "w", BIG)]

    def test_a_cell_sent_once_in_the_group_is_kept(self, to: SinkCase, owner: Owner) -> None:
        owner.apply(2, item(1, big="old"))
        changed, left = ("1", "w", BIG), ("1", "x", UNCHANGED)
        owner.apply(3, Replace(ITEMS, ("1",), changed), Replace(ITEMS, ("1",), left))
        assert to.rows(ITEMS) == [("1", "x", BIG)]

    @pytest.mark.failure("T-FO-2")
    def test_keys_that_change_places(self, to: SinkCase, owner: Owner) -> None:
        """T-FO-2: no bulk order is safe."""
        owner.apply(2, item(1, "one"), item(2, "two"))
        owner.apply(
            3,
            Replace(ITEMS, ("1",), ("-1", "one", None)),
            Replace(ITEMS, ("2",), ("1", "two", None)),
            Replace(ITEMS, ("-1",), ("2", "one", None)),
        )
        assert to.rows(ITEMS) == [("1", "two", None), ("2", "one", None)]

    @pytest.mark.failure("TG-01")
    def test_unique_values_that_change_places(self, to: SinkCase, owner: Owner) -> None:
        to.add_unique(USERS)
        owner.apply(2, Insert(USERS, ("1", "x")), Insert(USERS, ("2", "y")))
        owner.apply(
            3,
            Replace(USERS, ("1",), ("1", None)),
            Replace(USERS, ("2",), ("2", "x")),
            Replace(USERS, ("1",), ("1", "y")),
        )
        owner.apply(4, Delete(USERS, ("2",)), Insert(USERS, ("3", "x")))
        assert to.rows(USERS) == [("1", "y"), ("3", "x")]

    @pytest.mark.failure("T-FO-4")
    def test_equal_rows_are_counted(self, to: SinkCase, owner: Owner) -> None:
        """T-FO-4: a delete takes one of equal rows."""
        owner.apply(2, line("a"), line("a"), Delete(LINES, ("a",)), line("a"))
        owner.apply(3, Replace(LINES, ("a",), ("b",)))
        assert to.rows(LINES) == [("a",), ("b",)]

    def test_a_truncate_is_a_barrier(self, to: SinkCase, owner: Owner) -> None:
        owner.apply(2, item(1), line("a"))
        owner.apply(3, item(2), Truncate((ITEMS, LINES)), item(1, "new"), line("b"))
        assert to.rows(ITEMS) == [("1", "new", None)]
        assert to.rows(LINES) == [("b",)]

    def test_an_empty_group_moves_the_checkpoint(self, to: SinkCase, owner: Owner) -> None:
        """An idle position is stored before it is acknowledged (T-DE-2)."""
        assert owner.apply(7) is not None
        assert owner.again() == 7

    def test_many_rows(self, to: SinkCase, owner: Owner) -> None:
        owner.apply(2, *(item(number) for number in range(300)))
        owner.apply(3, *(Replace(ITEMS, (str(n),), (str(n), "w", UNCHANGED)) for n in range(300)))
        owner.apply(4, *(Delete(ITEMS, (str(number),)) for number in range(100, 300)))
        assert to.rows(ITEMS) == sorted((str(number), "w", None) for number in range(100))


@pytest.mark.failure("MY-05")
def test_what_foreign_keys_did(to: SinkCase) -> None:
    """In its place, by way of a table between, to a key and to a table without one; where a key moves onto another's,
    which moves too. What comes after is left alone."""
    specs = (ITEMS, PAIRS, NOTES)
    owner = Owner(to, specs=specs)
    owner.start([Chunk(spec.id, 0, state=State.IN) for spec in specs])
    pairs = [("1", "1"), ("1", "2"), ("2", "1"), ("3", "1")]
    notes = [("a", "1", "1"), ("b", "2", "1"), ("c", "3", "1"), ("d", None, None), ("e", "1", "2")]
    owner.apply(
        2, item(1), item(2), item(3), *(Insert(PAIRS, row) for row in pairs), *(Insert(NOTES, row) for row in notes)
    )
    below = (PAIRS, NOTES)
    gone = (Delete(ITEMS, ("1",)), Acted(ITEMS, below, gone=["1"]))
    owner.apply(None, *gone)
    assert owner.again() == 2
    owner.apply(
        3, *gone, item(1), Insert(PAIRS, ("1", "9")), Insert(NOTES, ("f", "1", "9")),
        Replace(ITEMS, ("3",), ("4", "v", None)), Replace(ITEMS, ("2",), ("3", "v", None)),
        Acted(ITEMS, below, moved=[("3", "4"), ("2", "3")]), Replace(NOTES, ("d", None, None), ("d", "4", "1")),
    )  # fmt: skip
    assert to.rows(PAIRS) == [("1", "9"), ("3", "1"), ("4", "1")]
    assert to.rows(NOTES) == [
        ("a", None, None), ("b", "3", "1"), ("c", "4", "1"), ("d", "4", "1"), ("e", None, None), ("f", "1", "9"),
    ]  # fmt: skip
    owner.sink.close()


class TestStrict:
    @pytest.mark.failure("TG-07")
    @pytest.mark.parametrize(
        "change",
        [item(1), Replace(ITEMS, ("9",), ("9", "w", None)), Delete(ITEMS, ("9",)), Delete(LINES, ("x",))],
        ids=["insert meets a row", "update meets none", "delete meets none", "keyless delete meets none"],
    )
    @pytest.mark.parametrize("others", [0, 200], ids=["alone", "among many"])
    def test_a_change_that_does_not_fit_is_a_conflict(
        self, to: SinkCase, owner: Owner, change: Insert | Replace | Delete, others: int
    ) -> None:
        owner.apply(2, item(1))
        with pytest.raises(Conflict) as caught:
            owner.apply(3, *(item(100 + number) for number in range(others)), change)
        assert change.table.id in str(caught.value)
        assert owner.again() == 2
        assert to.rows(ITEMS) == [("1", "v", None)]

    def test_a_conflict_names_the_key(self, owner: Owner) -> None:
        with pytest.raises(Conflict) as caught:
            owner.apply(2, item(4711), Delete(ITEMS, ("4712",)))
        assert "4712" in str(caught.value)

    def test_a_row_that_the_target_refuses(self, to: SinkCase, owner: Owner) -> None:
        to.add_unique(USERS)
        owner.apply(2, Insert(USERS, ("1", "x")))
        with pytest.raises((PoisonRow, Conflict)) as caught:
            owner.apply(3, item(1), Insert(USERS, ("2", "x")))
        assert USERS.id in str(caught.value)
        assert (owner.again(), to.rows(ITEMS)) == (2, [])


class TestPieces:
    def test_pieces_become_visible_together(self, to: SinkCase, owner: Owner) -> None:
        assert owner.apply(None, item(1)) is None
        assert owner.apply(None, item(2), Replace(ITEMS, ("1",), ("1", "w", None))) is None
        assert to.rows(ITEMS) == []
        assert owner.apply(2, item(3)) is not None
        assert len(to.rows(ITEMS)) == 3

    def test_pieces_are_taken_back_together(self, to: SinkCase, owner: Owner) -> None:
        owner.apply(None, item(1))
        with pytest.raises(Conflict):
            owner.apply(None, Delete(ITEMS, ("9",)))
        assert (owner.again(), to.rows(ITEMS)) == (1, [])
        owner.apply(2, item(1))
        assert len(to.rows(ITEMS)) == 1

    def test_closing_takes_back_what_is_open(self, to: SinkCase, owner: Owner) -> None:
        owner.apply(None, item(1))
        owner.sink.close()
        assert to.rows(ITEMS) == []
        assert owner.again() == 1

    @pytest.mark.failure("PO-03")
    def test_nothing_else_makes_pieces_durable(self, to: SinkCase, owner: Owner) -> None:
        """Control rows have a transaction of their own, or are refused while a source's transaction is half applied."""
        owner.apply(None, item(1))
        try:
            owner.sink.join([to.table(OTHERS)], [Chunk(OTHERS.id, 0)])
            owner.sink.finish([], [])
        except CdcdError:
            pass
        owner.sink.beat()
        owner.sink.close()
        assert to.rows(ITEMS) == []
        assert owner.again() == 1
