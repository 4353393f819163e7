"""Sequences at both ends: the source's last value, whatever rows are left; at the target never backwards."""

from __future__ import annotations

import pytest

from cdcd.model.sequence import SequenceDone, SequenceValue
from tests.contract.case import SinkCase, SourceCase
from tests.contract.changes import ITEMS


@pytest.mark.failure("TG-03", "T-DB-1")
def test_a_source_tells_the_last_value(at: SourceCase) -> None:
    at.needs("sequences")
    at.create(ITEMS)
    at.sequence("counter", 41)
    source = at.source()
    try:
        (found,) = source.sequences(source.tables([ITEMS.id]))
        assert (found.id, found.value, found.called) == ("menu.counter", 41, True)
        at.sequence("counter", 43)
        assert [one.value for one in source.sequences(source.tables([ITEMS.id]))] == [43]
    finally:
        source.close()


@pytest.mark.failure("TG-03", "T-DB-1")
def test_a_sink_goes_on_from_there_and_never_back(to: SinkCase) -> None:
    to.needs("sequences")
    to.sequence("counter", 7)
    sink = to.sink()
    try:
        (done,) = sink.set_sequences([SequenceValue("menu", "counter", 41)])
        assert (done.done, done.before, done.after) == ("set", 7, 41)
        assert to.next_value("counter") == 42
        for old in (41, 42):
            (done,) = sink.set_sequences([SequenceValue("menu", "counter", old)])
            assert (done.done, done.after) == ("kept", 42)
        assert to.next_value("counter") == 43
    finally:
        sink.close()


def test_what_could_not_be_set_is_said(to: SinkCase) -> None:
    to.needs("sequences")
    to.sequence("counter", 7)
    sink = to.sink()
    try:
        gone, hidden = SequenceValue("menu", "gone", 1), SequenceValue("menu", "counter", None)
        found: list[SequenceDone] = sink.set_sequences([gone, hidden])
        assert [(one.source.name, one.done, one.right) for one in found] == [
            ("gone", "missing", False), ("counter", "unreadable", False),
        ]
        assert to.next_value("counter") == 8
    finally:
        sink.close()
