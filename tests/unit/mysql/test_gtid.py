"""GTID sets against plain sets of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mysql.gtid import NOTHING, Gtid, GtidSet, Passed, merged
from connectors.mysql.position import Domains, Offset, place_of

UUIDS = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562")
ORIGINS = (*UUIDS, f"{UUIDS[0]}:app", f"{UUIDS[0]}:b_2")
Plain = dict[str, set[int]]
plains = st.dictionaries(st.sampled_from(ORIGINS), st.sets(st.integers(1, 30), min_size=1))


def made(plain: Plain) -> GtidSet:
    return GtidSet({origin: merged((number, number) for number in numbers) for origin, numbers in plain.items()})


def pairs(plain: Plain) -> set[tuple[str, int]]:
    return {(origin, number) for origin, numbers in plain.items() for number in numbers}


@given(plains)
def test_text_and_back(plain: Plain) -> None:
    assert GtidSet.parse(str(made(plain))) == made(plain)
    assert made(plain).count == len(pairs(plain))


@given(plains, plains)
def test_algebra(one: Plain, other: Plain) -> None:
    a, b = made(one), made(other)
    both = {origin: one.get(origin, set()) | other.get(origin, set()) for origin in {*one, *other}}
    assert a | b == made(both)
    less = {origin: numbers - other.get(origin, set()) for origin, numbers in one.items()}
    assert a - b == made({origin: numbers for origin, numbers in less.items() if numbers})
    assert a.covers(b) == (pairs(other) <= pairs(one))
    everything = [(origin, number) for origin in ORIGINS for number in range(1, 32)]
    assert [name for name in everything if Gtid(*name) in a] == [name for name in everything if name in pairs(one)]


@given(st.lists(st.tuples(st.sampled_from(ORIGINS), st.integers(1, 30)), unique=True))
def test_growing_by_one(names: list[tuple[str, int]]) -> None:
    passed = Passed(NOTHING)
    plain: Plain = {}
    for origin, number in names:
        assert not passed.holds(origin, number)
        passed.add(origin, number)
        assert passed.holds(origin, number)
        plain.setdefault(origin, set()).add(number)
    assert passed.set() == made(plain)


def test_the_servers_own_text() -> None:
    text = f"{UUIDS[0]}:1-34:50:app:1-3:7,{UUIDS[1]}:5"
    found = GtidSet.parse(text.upper().replace(",", ",\n").replace("APP", "app"))
    assert str(found) == text
    assert str(GtidSet.parse("")) == ""
    for wrong in ("x:1", f"{UUIDS[0]}", f"{UUIDS[0]}:0", f"{UUIDS[0]}:5-3", f"{UUIDS[0]}:-1", "1-2-3"):
        with pytest.raises(ValueError):
            GtidSet.parse(wrong)


@pytest.mark.failure("PO-04")
def test_places() -> None:
    """Numbers are numbers, in names of files too."""
    for place in (Domains.parse("0-1-5,7-2-9"), Offset("binlog.000012", 157)):
        assert place_of(place.to_json(), False) == place
        assert place_of(str(place), isinstance(place, Domains)) == place
    one, other = Domains.parse("0-1-9"), Domains.parse("0-2-10,7-1-1")
    assert other.covers(one) and not one.covers(other)
    assert Offset("b.000010", 4).covers(Offset("b.000009", 999))
    assert Offset("b.1000000", 4).covers(Offset("b.999999", 1 << 40)) and Offset("b.000001", 10).covers(
        Offset("b.000001", 9)
    )
