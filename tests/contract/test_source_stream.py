"""What a source's stream brings, and where it stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cdcd.contracts import Reading, Source
from cdcd.errors import Interrupted, OtherServer, SchemaChanged, SlotLost
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from tests.contract.case import SourceCase
from tests.contract.changes import BIG, ITEMS, LINES, Delete, Insert, Truncate, Update, item, line
from tests.contract.reading import altered, events, forms, open_at, read, start
from tests.waiting import wait_until

Following = tuple[Source, Checkpoint, list[Table]]


@contextmanager
def following(at: SourceCase, bound: int = 1 << 20) -> Iterator[Following]:
    """A stream of both tables, from before the test's changes; slot and publication go with it."""
    source = at.source(bound)
    try:
        checkpoint, tables = start(source, [ITEMS.id, LINES.id])
        open_at(source, checkpoint, tables)
        yield source, checkpoint, tables
    finally:
        source.close()
        source = at.source()
        source.drop()
        source.close()


@pytest.fixture(autouse=True)
def tables(at: SourceCase) -> None:
    at.create(ITEMS)
    at.create(LINES)


class TestWhatComes:
    def test_changes_come_in_the_order_they_were_made(self, at: SourceCase) -> None:
        with following(at) as (source, _, _):
            at.commit(item(1), line("a"), item(2))
            at.commit(Update(ITEMS, ("1",), {"v": "w"}), Delete(ITEMS, ("2",)))
            assert events(read(source)[0]) == [
                ("insert", "items", ("1", "v", None)),
                ("insert", "lines", ("a",)),
                ("insert", "items", ("2", "v", None)),
                ("update", "items", ("1",), ("1", "w", None)),
                ("delete", "items", ("2",)),
            ]

    def test_a_key_that_changes_is_named_by_its_old_and_its_new_value(self, at: SourceCase) -> None:
        at.commit(item(1))
        with following(at) as (source, _, _):
            at.commit(Update(ITEMS, ("1",), {"id": "7"}))
            assert events(read(source)[0]) == [("move", "items", ("1",), ("7", "v", None))]

    def test_a_value_out_of_line_that_did_not_change_is_not_null(self, at: SourceCase) -> None:
        at.commit(item(1, big=BIG))
        with following(at) as (source, _, _):
            at.commit(Update(ITEMS, ("1",), {"v": "w"}))
            at.commit(Update(ITEMS, ("1",), {"id": "2"}))
            assert events(read(source)[0]) == [
                ("update", "items", ("1",), ("1", "w", UNCHANGED)),
                ("move", "items", ("1",), ("2", "w", UNCHANGED)),
            ]

    def test_a_row_without_a_key_is_named_by_all_of_it(self, at: SourceCase) -> None:
        at.commit(line("a"), line("a"))
        with following(at) as (source, _, _):
            at.commit(Delete(LINES, ("a",)), Update(LINES, ("a",), {"line": "b"}))
            assert events(read(source)[0]) == [
                ("delete", "lines", ("a",)),
                ("move", "lines", ("a",), ("b",)),
            ]

    def test_a_truncate_of_several_tables_is_one(self, at: SourceCase) -> None:
        with following(at) as (source, _, _):
            at.needs("truncate")
            at.commit(item(1), Truncate((ITEMS, LINES)), item(2))
            came = events(read(source)[0])
            assert [event[0] for event in came] == ["insert", "truncate", "insert"]
            assert sorted(came[1][1]) == ["items", "lines"]

    def test_what_was_rolled_back_or_is_open_does_not_come(self, at: SourceCase) -> None:
        with following(at) as (source, _, _):
            open_one = at.begin(item(1))
            at.commit(item(2))
            assert [event[2][0] for event in events(read(source)[0])] == ["2"]
            open_one.commit()
            assert [event[2][0] for event in events(read(source)[0])] == ["1"]

    def test_a_table_that_is_not_carried_is_skipped(self, at: SourceCase) -> None:
        source = at.source()
        checkpoint, tables = start(source, [ITEMS.id, LINES.id])
        source.open(checkpoint, source.identity(), forms(t for t in tables if t.name == "items"))
        at.commit(line("a"), item(1))
        assert [event[1] for event in events(read(source)[0])] == ["items"]
        source.carry(forms(tables))
        at.commit(line("b"))
        assert events(read(source)[0]) == [("insert", "lines", ("b",))]
        source.close()
        source.drop()
        source.close()

    def test_an_altered_table_ends_the_group_or_is_a_named_stop(self, at: SourceCase) -> None:
        with following(at) as (source, _, _):
            at.add_column(ITEMS)
            at.commit(Insert(LINES, ("a",)))
            at.commit(Insert(ITEMS, ("5", "v", None, None)))
            try:
                said = str(altered(source).old.id)
            except SchemaChanged as stop:
                said = str(stop)
            assert ITEMS.id in said


class TestGroups:
    def test_a_group_ends_at_a_transaction_or_says_that_it_does_not(self, at: SourceCase) -> None:
        with following(at, bound=2000) as (source, _, _):
            at.commit(*(item(number, "x" * 50) for number in range(200)))
            groups, _ = read(source)
            assert len(events(groups)) == 200
            inside = [group for group in groups if group.position is None]
            assert len(inside) > 2
            assert all(group.bytes < 10_000 for group in groups)
            assert groups[-1].position is not None

    def test_whole_transactions_are_gathered(self, at: SourceCase) -> None:
        with following(at) as (source, _, _):
            for number in range(5):
                at.commit(item(number))
            groups, _ = read(source)
            assert sum(group.txs for group in groups) >= 5
            assert sum(group.changes for group in groups) == 5
            assert all(group.commit_time > 0 for group in groups if not group.empty)

    def test_an_idle_source_says_how_far_it_is(self, at: SourceCase) -> None:
        with following(at) as (source, checkpoint, _):
            before = source.head()
            at.idle()

            def moved() -> bool:
                group = Group()
                source.read(group, None, 0.2)
                assert group.empty and group.position is not None
                return group.position.covers(before) and not checkpoint.position.covers(group.position)

            wait_until(moved, what="an idle position to move on")


class TestStop:
    def test_the_transaction_that_begins_at_the_stop_does_not_come(self, at: SourceCase) -> None:
        """T-PG-5, T-PG-19: below the place it comes, at the place it does not."""
        with following(at) as (source, _, tables):
            for number in range(4):
                at.commit(item(number))
                snapshot = source.snapshot(tables)
                place = snapshot.position
                snapshot.close()
                at.commit(item(100 + number))
                groups, reading = read(source, stop=place)
                assert reading is Reading.STOP
                assert groups[-1].position == place
                before = 100 + number - 1
                assert [event[2][0] for event in events(groups)] == [str(n) for n in (before, number) if n != 99]

    def test_a_stop_is_kept_until_it_is_lifted(self, at: SourceCase) -> None:
        with following(at) as (source, _, tables):
            place = source.snapshot(tables).position
            at.commit(item(1))
            for _ in range(3):
                groups, reading = read(source, stop=place)
                assert reading is Reading.STOP and not events(groups)
            assert len(events(read(source)[0])) == 1


class TestRestart:
    def test_a_restart_reads_the_same_again_in_the_same_order(self, at: SourceCase) -> None:
        with following(at) as (source, checkpoint, tables):
            for number in range(10):
                at.commit(item(number), line(str(number)), Update(ITEMS, (str(number),), {"v": "w"}))
            first = events(read(source)[0])
            source.close()
            again = at.source()
            open_at(again, checkpoint, tables)
            assert events(read(again)[0]) == first
            again.close()

    def test_a_restart_goes_on_exactly_behind_each_transaction(self, at: SourceCase) -> None:
        with following(at, bound=1) as (source, _, tables):
            for number in range(4):
                at.commit(item(number))
            groups, _ = read(source)
            whole = events(groups)
            source.close()
            for index, group in enumerate(groups):
                if group.position is None:
                    continue
                again = at.source()
                open_at(again, Checkpoint(group.position), tables)
                assert events(read(again)[0]) == whole[len(events(groups[: index + 1])) :]
                again.close()

    def test_nothing_is_acknowledged_by_itself(self, at: SourceCase) -> None:
        """T-DE-1: neither what was read, nor idle places, nor by closing."""
        with following(at) as (source, checkpoint, tables):
            at.commit(item(1))
            read(source)
            at.idle()
            read(source)
            source.rest(0.2)
            source.close()
            again = at.source()
            open_at(again, checkpoint, tables)
            assert len(events(read(again)[0])) == 1
            again.close()

    def test_acknowledged_is_what_was_said_and_no_more(self, at: SourceCase) -> None:
        at.needs("slot")
        with following(at) as (source, checkpoint, tables):
            at.commit(item(1))
            first = read(source)[0][-1].position
            at.commit(item(2))
            read(source)
            assert first is not None
            source.acknowledge(first)

            def told() -> bool:
                source.rest(0.1)
                return at.confirmed() == str(first)

            wait_until(told, what="the source to tell the slot")
            source.close()
            again = at.source()
            with pytest.raises(SlotLost):
                open_at(again, checkpoint, tables)
            again.close()
            again = at.source()
            open_at(again, Checkpoint(first), tables)
            assert [event[2][0] for event in events(read(again)[0])] == ["2"]
            again.close()

    def test_another_server_is_refused(self, at: SourceCase) -> None:
        with following(at) as (source, checkpoint, tables):
            identity = source.identity()
            source.close()
            again = at.source()
            with pytest.raises(OtherServer):
                again.open(checkpoint, at.elsewhere(identity), forms(tables))
            again.close()


class TestInterrupt:
    def test_a_blocked_read_ends(self, at: SourceCase) -> None:
        with following(at) as (source, _, _):
            ended: list[BaseException] = []

            def reader() -> None:
                try:
                    while True:
                        source.read(Group(), None, 30)
                except Interrupted as error:
                    ended.append(error)

            thread = threading.Thread(target=reader)
            thread.start()
            source.interrupt()
            thread.join(5)
            assert not thread.is_alive() and len(ended) == 1

    def test_a_snapshot_that_waits_for_a_writer_ends(self, at: SourceCase) -> None:
        with following(at) as (source, _, tables):
            writer = at.begin(item(1))
            ended: list[BaseException] = []

            def asker() -> None:
                try:
                    source.snapshot(tables)
                except Interrupted as error:
                    ended.append(error)

            thread = threading.Thread(target=asker)
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
            source.interrupt()
            thread.join(5)
            assert not thread.is_alive() and len(ended) == 1
            writer.commit()
