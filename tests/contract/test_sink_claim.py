"""Who may write: claims, epochs, fences, and what is true after an answer was lost."""

from __future__ import annotations

import threading

import pytest

from cdcd.errors import CdcdError, Fenced, Interrupted, StateRefused, Transient, Unreachable
from cdcd.model.chunk import Chunk, State
from tests.contract.case import SinkCase
from tests.contract.changes import ITEMS, LINES, item, line
from tests.contract.writing import IDENTITY, Owner

IN = [Chunk(ITEMS.id, 0, state=State.IN), Chunk(LINES.id, 0, state=State.IN)]


def begun(to: SinkCase, name: str = "owner") -> Owner:
    owner = Owner(to, name)
    owner.start(IN)
    return owner


class TestClaim:
    def test_nothing_was_started(self, to: SinkCase) -> None:
        claim = Owner(to).claim
        assert (claim.checkpoint, claim.identity, claim.intent, claim.finished) == (None, None, {}, False)
        assert not claim.chunks and not claim.tables

    def test_an_intent_is_found_again_without_a_checkpoint(self, to: SinkCase) -> None:
        owner = Owner(to)
        owner.sink.intend(IDENTITY, {"slot": "s", "nonce": "n"})
        owner.again()
        assert owner.claim.intent == {"slot": "s", "nonce": "n"}
        assert owner.claim.identity == IDENTITY
        assert owner.claim.checkpoint is None

    def test_everything_stored_is_found_again(self, to: SinkCase) -> None:
        owner = begun(to)
        first = owner.claim.epoch
        owner.apply(5, item(1))
        owner.sink.finish([], [])
        assert owner.again() == 5
        assert owner.claim.epoch > first
        assert owner.claim.identity == IDENTITY
        assert owner.claim.tables[ITEMS.id] == to.table(ITEMS)
        assert [(chunk.id, chunk.state) for chunk in sorted(owner.claim.chunks, key=lambda chunk: chunk.id)] == [
            ((ITEMS.id, 0), State.IN),
            ((LINES.id, 0), State.IN),
        ]
        assert owner.claim.finished

    def test_prepare_can_be_done_again_until_start(self, to: SinkCase) -> None:
        owner = Owner(to)
        owner.sink.prepare([to.table(ITEMS)])
        owner.again()
        owner.start()
        assert to.rows(ITEMS) == []

    @pytest.mark.failure("OP-11", "T-DB-7")
    def test_control_tables_of_a_newer_version_are_refused(self, to: SinkCase) -> None:
        begun(to)
        to.newer_version()
        with pytest.raises(StateRefused):
            Owner(to)

    def test_a_dropped_pipeline_is_forgotten_and_its_data_stays(self, to: SinkCase) -> None:
        owner = begun(to)
        owner.apply(2, item(1))
        owner.sink.drop()
        owner.sink.close()
        assert Owner(to).claim.checkpoint is None
        assert len(to.rows(ITEMS)) == 1


class TestFence:
    @pytest.mark.failure("PO-06")
    def test_an_older_owner_writes_nothing(self, to: SinkCase) -> None:
        old = begun(to, "old")
        new = Owner(to, "new")
        with pytest.raises((Fenced, Transient)):
            old.apply(2, item(1))
        with pytest.raises((Fenced, Transient)):
            old.load(Chunk(LINES.id, 0), LINES, [("a",)])
        new.apply(2, item(2))
        assert [row[0] for row in to.rows(ITEMS)] == ["2"]

    @pytest.mark.failure("T-PO-12")
    def test_an_older_owner_does_not_come_back(self, to: SinkCase) -> None:
        """T-PO-12: two daemons would fence each other in turn."""
        old = begun(to, "old")
        new = Owner(to, "new")
        for _ in range(2):
            with pytest.raises(Fenced):
                old.again()
        new.apply(2, item(1))
        assert new.again() == 2

    def test_an_older_owner_learns_it_by_its_beat(self, to: SinkCase) -> None:
        old = begun(to, "old")
        old.sink.beat()
        Owner(to, "new")
        with pytest.raises((Fenced, Unreachable)):
            old.sink.beat()

    @pytest.mark.failure("T-PO-3", "T-PO-11")
    def test_an_older_owners_open_transaction_does_not_block_the_new_one(self, to: SinkCase) -> None:
        """T-PO-3, T-PO-11."""
        old = begun(to, "old")
        old.apply(None, item(1))
        new = Owner(to, "new")
        new.apply(2, item(2))
        with pytest.raises(CdcdError):
            old.apply(2, item(3))
        assert [row[0] for row in to.rows(ITEMS)] == ["2"]

    @pytest.mark.failure("T-PO-2")
    def test_what_is_stored_must_be_what_was_expected(self, to: SinkCase) -> None:
        """T-PO-2: one owner may not repeat itself; the last place of another object of ours counts."""
        owner = begun(to)
        other = Owner(to, "owner")
        other.apply(2, line("a"))
        with pytest.raises(CdcdError):
            owner.apply(2, line("a"))
        assert to.rows(LINES) == [("a",)]

    def test_the_counter_that_a_standby_watches(self, to: SinkCase) -> None:
        watching = to.sink()
        assert watching.seen() is None
        owner = begun(to)
        before = watching.seen()
        owner.sink.beat()
        after = watching.seen()
        assert before is not None and after is not None and after > before
        watching.close()


class TestLostAnswers:
    @pytest.mark.failure("TG-10", "T-PO-1")
    def test_a_commit_whose_answer_was_lost_is_done_once(self, to: SinkCase) -> None:
        """T-PO-1: the claim tells; a keyless table would show a second time."""
        owner = begun(to)
        to.lose_next_commit()
        with pytest.raises(Unreachable):
            owner.apply(2, line("a"))
        assert owner.again() == 2
        assert to.rows(LINES) == [("a",)]
        owner.apply(3, line("b"))
        assert owner.again() == 3

    @pytest.mark.failure("T-PO-13")
    def test_a_ticket_is_void_with_its_session(self, to: SinkCase) -> None:
        """T-PO-13: a crash may have taken back what it stands for."""
        owner = begun(to)
        ticket = owner.apply(2, line("a"))
        to.crash()
        with pytest.raises(CdcdError):
            assert not owner.sink.durable(ticket)
            raise Unreachable("not durable is as good an answer")
        there = owner.again()
        assert to.rows(LINES) == ([("a",)] if there == 2 else [])

    @pytest.mark.failure("PO-01")
    def test_durable_means_that_a_crash_does_not_take_it_back(self, to: SinkCase) -> None:
        owner = begun(to)
        ticket = owner.apply(2, line("a"))
        for _ in range(1000):
            if owner.sink.durable(ticket):
                break
            owner.sink.beat()
        else:
            raise AssertionError("never durable")
        to.crash()
        assert owner.again() == 2
        assert to.rows(LINES) == [("a",)]

    def test_an_interrupt_ends_what_is_blocked(self, to: SinkCase) -> None:
        owner = begun(to)
        owner.apply(None, item(1))
        ended: list[BaseException] = []

        def load() -> None:
            try:
                while True:
                    owner.load(Chunk(ITEMS.id, 0), ITEMS, [("1", "v", None)])
            except (Interrupted, StateRefused, Transient) as error:
                ended.append(error)

        thread = threading.Thread(target=load)
        thread.start()
        owner.sink.interrupt()
        thread.join(10)
        assert not thread.is_alive() and ended
        owner.sink.close()
        assert to.rows(ITEMS) == []


def test_requests_are_given_until_fulfilled(to: SinkCase) -> None:
    owner = begun(to)
    number = to.request("reload", ITEMS.id)
    (request,) = owner.sink.requests()
    assert (request.id, request.command, request.argument) == (number, "reload", ITEMS.id)
    owner.sink.fulfilled(request)
    assert list(owner.sink.requests()) == []
