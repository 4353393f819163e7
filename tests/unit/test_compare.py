"""Comparing two ends without a server: ends that are dictionaries, and a source that moves between two calls."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cdcd.engine import compare, compare_descent, compare_settle
from cdcd.engine.compare import Comparison
from cdcd.engine.compare_descent import unequal
from cdcd.engine.compare_report import Kind, TableReport, judge
from cdcd.errors import Differences, UsageError
from cdcd.model.digest import Digest, Entry, Found, Key, Layout, Shares, Span, Standing
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType

INT = LogicalType("int32")
TABLE = Table("public", "t", (Column("id", 1, INT, "int"), Column("x", 2, INT, "int")), ("id",))


class Place(int):
    """A Position."""

    def covers(self, other: "Place") -> bool:
        return self >= other

    def distance(self, other: "Place") -> int:
        return max(0, self - other)

    def to_json(self) -> dict[str, Any]:
        return {"place": int(self)}


class End:
    """Rows by number. `before` is called with the method's name at each call: where a test lets things move."""

    def __init__(self, rows: dict[int, int], order: str | None = "int") -> None:
        self.rows = rows
        self.versions: dict[int, int] = {}
        self.layout_here: Layout | None = Layout(frozenset(("id", "x")), order, True)
        self.stands: Standing | None = None
        self.place = Place(1)
        self.calls: list[str] = []
        self.sent = 0
        self.before: Callable[[str], None] = lambda name: None

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)

    def hashes(self) -> Sequence[str]:
        return ["h"]

    def choose(self, hash: str) -> None:
        assert hash == "h"

    def layout(self, table: Table) -> Layout | None:
        return self.layout_here

    def _part(self, span: Span, shares: Shares | None = None) -> list[int]:
        low = int(span.low[0]) if span.low else None
        high = int(span.high[0]) if span.high else None
        return [
            key
            for key in sorted(self.rows)
            if (low is None or key >= low) and (high is None or key < high)
            if shares is None or hash(key) % shares.of in shares.chosen
        ]

    def step(self, table: Table, span: Span, rows: int) -> Key | None:
        self._called("step")
        keys = self._part(span)
        return (str(keys[rows]),) if len(keys) > rows else None

    def digest(self, table: Table, span: Span) -> Digest:
        self._called("digest")
        keys = self._part(span)
        return Digest(len(keys), str(sum(hash((key, self.rows[key])) for key in keys)))

    def digests(self, table: Table, span: Span, of: int) -> Mapping[int, Digest]:
        self._called("digests")
        found: dict[int, Digest] = {}
        for key in self._part(span):
            before = found.get(hash(key) % of, Digest(0, "0"))
            found[hash(key) % of] = Digest(before.rows + 1, str(int(before.sum) + hash((key, self.rows[key]))))
        return found

    def entries(self, table: Table, span: Span, shares: Shares) -> Iterator[Entry]:
        self._called("entries")
        entries = [Entry(hash(key), (str(key),), Digest(1, str(self.rows[key]))) for key in self._part(span, shares)]
        self.sent += len(entries)
        return iter(sorted(entries, key=lambda entry: entry.hash))

    def look(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Found]:
        self._called("look")
        return {
            key: Found(1, str(self.rows[int(key[0])]), (key[0], str(self.rows[int(key[0])])), str(self._version(key)))
            for key in keys
            if int(key[0]) in self.rows
        }

    def _version(self, key: Key) -> int:
        return self.versions.get(int(key[0]), 0)

    def write(self, key: int, value: int) -> None:
        self.rows[key] = value
        self.versions[key] = self.versions.get(key, 0) + 1

    def texts(self, table: Table, keys: Sequence[Key], length: int) -> Mapping[Key, Sequence[str | None]]:
        return {}

    def head(self) -> Place:
        self._called("head")
        return self.place

    def position(self, data: Mapping[str, Any] | str) -> Place:
        return Place(data["place"])  # type: ignore[index]

    def standing(self) -> Standing | None:
        self._called("standing")
        return self.stands

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


def followed(target: End, unread: int = 0, place: int = 1) -> End:
    target.stands = Standing({"place": place}, {TABLE.id: unread})
    return target


def report(source: End, target: End, **options: Any) -> TableReport:
    return Comparison(source, target, **options).table(TABLE)


def keys(report: TableReport) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for verdict in report.shown:
        found.setdefault(verdict.kind.value, []).append(int(verdict.key[0]))
    return found


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_descent, "PART", 100)
    monkeypatch.setattr(compare_descent, "SHARE", 5)
    monkeypatch.setattr(compare, "BATCH", 7)
    monkeypatch.setattr(compare_settle, "FIRST_PAUSE", 0.0)


@pytest.mark.parametrize("order", ["int", None])
def test_each_kind_of_difference_is_found(order: str | None) -> None:
    rows = {i: i * i for i in range(1000)}
    target = rows | {500: -1, 2000: 1, -3: 1}
    del target[77]
    found = report(End(rows, order), End(target, order))
    assert {kind: sorted(some) for kind, some in keys(found).items()} == {
        "different": [500], "extra": [-3, 2000], "missing": [77],
    }  # fmt: skip
    assert (found.source_rows, found.target_rows) == (1000, 1001)
    assert next(v for v in found.shown if v.kind is Kind.DIFFERENT).columns == ("x",)


@pytest.mark.parametrize("turned", [False, True])
def test_an_empty_end(turned: bool) -> None:
    full, empty = End({i: i for i in range(1000)}), End({})
    found = report(empty, full) if turned else report(full, empty)
    assert found.counts[Kind.EXTRA if turned else Kind.MISSING] == 1000 and len(found.shown) == 10


def test_only_the_share_that_differs_has_its_keys_sent() -> None:
    rows = {i: i for i in range(10_000)}
    source = End(rows)
    found = report(source, End(rows | {4321: 0}), limit=1)
    assert found.counts[Kind.DIFFERENT] == 1
    assert source.calls.count("digests") == 1 and source.calls.count("entries") == 1 and source.sent <= 5


def test_only_keys_that_differ_leave_the_merge() -> None:
    mine = [Entry(h, (str(k),), Digest(1, "s")) for h, k in ((1, 1), (2, 2), (2, 3), (5, 5))]
    theirs = [Entry(h, (str(k),), Digest(1, "s")) for h, k in ((1, 1), (2, 3), (2, 4), (6, 6))]
    assert sorted(key for key, _, _ in unequal(mine, theirs)) == [("2",), ("4",), ("5",), ("6",)]
    assert list(unequal(mine, mine)) == []


def test_no_digest_in_common_is_refused() -> None:
    class Other(End):
        def hashes(self) -> Sequence[str]:
            return ["another"]

    with pytest.raises(UsageError):
        Comparison(End({}), Other({}))


def test_a_change_on_its_way_is_no_difference() -> None:
    source, target = End({1: 1, 2: 2}), followed(End({1: 0, 2: 2}))

    def arrive(name: str) -> None:
        if name == "look":
            target.rows[1] = 1

    target.before = arrive
    assert not any(report(source, target).counts.values())


def test_the_place_is_noted_after_the_source_was_read_and_waited_for_before_the_target_is() -> None:
    order: list[str] = []
    source, target = End({1: 1}), followed(End({1: 0}), place=0)
    source.before = lambda name: order.append(f"source {name}")

    def pass_it(name: str) -> None:
        order.append(f"target {name}")
        if order.count("target standing") == 3:
            followed(target, place=1)

    target.before = pass_it
    found = report(source, target)
    assert keys(found) == {"different": [1]}
    rest = order[order.index("source look") :]
    assert rest[:3] == ["source look", "source head", "target standing"]
    assert rest.index("target look") < [i for i, what in enumerate(rest) if what == "source look"][1]
    assert order.count("target look") == 2, "different only if it is so twice"


def test_a_row_that_moves_is_unsettled() -> None:
    source, target = End({1: 1, 2: 2}), followed(End({1: -1, 2: 3}))

    def move(name: str) -> None:
        if name == "head":
            source.write(1, source.rows[1] + 1)

    source.before = move
    found = report(source, target)
    assert keys(found) == {"different": [2], "unsettled": [1]}
    assert found.differs and found.open and found.note


def test_a_row_that_comes_back_to_its_old_content_has_moved() -> None:
    source, target = End({1: 1}), followed(End({1: 7}))

    def there_and_back(name: str) -> None:
        if name == "head":
            source.write(1, 7)
            source.write(1, 1)

    source.before = there_and_back
    assert keys(report(source, target)) == {"unsettled": [1]}


def test_an_end_that_cannot_tell_of_writes_is_looked_at_twice_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row that differs for three rounds may come and go in step with them."""
    monkeypatch.setattr(End, "_version", lambda end, key: "")
    source, target = End({1: 1}), followed(End({1: 7}))
    seen = 0

    def once_more(name: str) -> None:
        nonlocal seen
        seen += name == "look"
        if seen == 4:
            target.rows[1] = 1

    target.before = once_more
    assert keys(report(source, target)) == {}
    source, target = End({1: 1}), followed(End({1: 7}))
    assert keys(report(source, target)) == {"different": [1]}
    assert target.calls.count("look") == 4


def test_an_extra_row_that_is_written_between_the_rounds_is_unsettled() -> None:
    """The source had it and deleted it again: each round saw one of several lives of the row."""
    source, target = End({}), followed(End({1: 1}))

    def again(name: str) -> None:
        if name == "look":
            target.write(1, 1)

    target.before = again
    assert keys(report(source, target)) == {"unsettled": [1]}
    target.before = lambda name: None
    assert keys(report(source, target)) == {"extra": [1]}


def test_a_target_that_stands_still_is_waited_for_once() -> None:
    source, target = End({i: i for i in range(50)}), followed(End({}), place=0)
    found = report(source, target, wait=0.25)
    assert found.counts[Kind.UNSETTLED] == 50 and "has not passed 1" in found.note
    assert target.calls.count("standing") < 30


def test_who_shows_no_sign_of_life_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdcd.engine.compare_watch.SILENT", 0.2)
    source, target = End({1: 1}), followed(End({}), place=0)
    began = time.monotonic()
    assert keys(report(source, target, wait=30)) == {"unsettled": [1]}
    assert time.monotonic() - began < 5

    def live(name: str) -> None:
        if target.calls.count("standing") > 8:
            target.stands = Standing({"place": 1}, {TABLE.id: 0})
        else:
            target.stands = Standing({"place": 0}, {TABLE.id: 0}, target.calls.count("standing"))

    target.before = live
    assert keys(report(source, target, wait=30)) == {"missing": [1]}


def test_a_still_source_is_compared_at_once() -> None:
    found = report(End({1: 1}), followed(End({}), place=0), still=True)
    assert keys(found) == {"missing": [1]}


def test_tables_that_are_not_ready_are_not_compared() -> None:
    loading = report(End({1: 1}), followed(End({}), unread=3))
    assert loading.problem and "3 of its chunks" in loading.problem.text and loading.open and not loading.differs
    unknown = End({})
    unknown.stands = Standing({"place": 1}, {})
    strange = report(End({1: 1}), unknown)
    assert strange.problem and "does not carry it" in strange.problem.text and not strange.differs


def test_what_the_reports_amount_to() -> None:
    equal = report(End({1: 1}), End({1: 1}))
    differs = report(End({1: 1}), End({}))
    loading = report(End({1: 1}), followed(End({}), unread=1))
    assert judge([equal]) is None
    error = judge([equal, loading])
    assert error is not None and error.exit_code == 1 and not isinstance(error, Differences)
    assert isinstance(judge([loading, differs, equal]), Differences)


def test_reports_as_json() -> None:
    data = report(End({1: 1, 2: 2}), End({2: 3})).to_json()
    assert data["rows"] == {"source": 2, "target": 1} and data["missing"] == 1
    assert data["keys"]["missing"] == [{"key": {"id": 1}}]
    assert data["keys"]["different"] == [{"key": {"id": 2}, "columns": ["x"]}]


def test_a_keyless_table_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "MANY", 20)
    monkeypatch.setattr(compare, "MOST", 3)
    source = End({i: i for i in range(500)})
    found = Comparison(source, followed(End({})), limit=1).table(replace(TABLE, key=()))
    assert found.counts[Kind.MISSING] == 60 and found.counts[Kind.UNSETTLED] == 440 and "more rows" in found.note
    assert source.calls.count("look") == 3 * 2 * 2


def test_a_table_without_a_key_is_compared_whole() -> None:
    keyless = replace(TABLE, key=())
    mine, theirs = End({1: 1, 2: 2}), End({1: 1})
    found = Comparison(mine, theirs).table(keyless)
    assert "digests" in mine.calls and found.counts[Kind.MISSING] == 1
    assert found.to_json()["keys"]["missing"] == [{"key": {"row": "2"}}]
