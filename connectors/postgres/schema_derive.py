"""What a table was at a place of the stream, from the Relation message of that place and the catalogue of now (T-SC-3).

The message has the columns' names and types in the order of their attribute numbers, but not the numbers. Numbers are
given once and never again, and a column that was dropped never comes back. So which columns the message speaks of
follows by counting: those of now up to some number, and as many more as the message has, of those that were there
once and have been dropped since. Where only one set of columns has the right size, it is that one; a column whose row
in pg_attribute is the one that is known has its name and type still, any other has the type that it had or one that it
has now, which rules out sets too. Where more than one is left nothing is guessed: the table is loaded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import comb

from cdcd.model.table import Column, Table
from connectors.postgres.relation import Relation, is_column, is_type

MOST = 1000
"""Sets of columns that are looked at; beyond that the table is loaded again."""


def table_at(seen: Relation, known: Table, now: Table) -> Table | None:
    """The table as `seen` says, of the columns of `known` and `now`; None: that is not certain. `known` is what it was
    at an earlier place, `now` what the catalogue says, later or at once."""
    numbers = numbers_at(seen, known, now)
    if numbers is None:
        return None
    before = {column.ident: column for column in known.sent}
    after = {column.ident: column for column in now.sent}
    columns = []
    for number, found in zip(numbers, seen.columns, strict=True):
        was, now_is = before.get(number), after.get(number)
        like = next((c for c in (now_is, was) if c is not None and is_type(found, c)), None)
        if like is None or (now_is is None and was is None):
            return None
        # NOT NULL may have been set later than here: it is taken over once the stream has passed what was read.
        nullable = True if was is None else was.nullable or like.nullable
        mark = like.mark if like.name == found.name else ""
        columns.append(
            replace(
                like, name=found.name, nullable=nullable, mark=mark, left_out=was is not None and was.left_out,
                default=like.default if was is None else was.default,
            )
        )  # fmt: skip
    there = {column.ident for column in now.columns}
    columns += [column for column in known.columns if column.generated is not None and column.ident in there]
    columns.sort(key=lambda column: column.ident)
    key = key_at(seen, known, now, columns)
    by_primary = seen.identity == "d" and (key or known.key)
    primary = key if by_primary else _named(known.primary, known.columns, columns)
    return replace(
        known, schema=seen.schema, name=seen.name, columns=tuple(columns), key=key, primary=primary,
        full=seen.identity == "f", version=known.version + 1, attributes=max([known.attributes, *numbers]),
        mark=now.mark,
    )  # fmt: skip


def numbers_at(seen: Relation, known: Table, now: Table) -> tuple[int, ...] | None:
    """The attribute number of each column of `seen`; None: there is more than one way, or none."""
    before = {column.ident: column for column in known.sent}
    after = {column.ident: column for column in now.sent}
    computed = {column.ident for column in known.columns} - before.keys()
    if computed & after.keys():
        return None  # a column that was computed is not any more: from where on cannot be said
    last = max([known.attributes, *before])
    ended = set(before) - set(after)
    ended |= set(range(last + 1, now.attributes + 1)) - {column.ident for column in now.columns}
    found: set[tuple[int, ...]] = set()
    for end in range(last, max(last, now.attributes) + 1):
        sure = [number for number in after if number <= end]
        maybe = [number for number in ended if number <= end]
        missing = len(seen.columns) - len(sure)
        if not 0 <= missing <= len(maybe):
            continue
        if comb(len(maybe), missing) > MOST:
            return None
        for more in combinations(sorted(maybe), missing):
            numbers = tuple(sorted((*sure, *more)))
            if _fits(seen, numbers, before, after):
                found.add(numbers)
        if len(found) > 1:
            return None
    return found.pop() if found else None


def _fits(
    seen: Relation, numbers: Sequence[int], before: dict[int, Column], after: dict[int, Column]
) -> bool:
    for number, column in zip(numbers, seen.columns, strict=True):
        was, now = before.get(number), after.get(number)
        untouched = was is not None and now is not None and was.mark != "" and was.mark == now.mark
        if untouched and now is not None and not is_column(column, now):
            return False
        ever = [one for one in (was, now) if one is not None]
        if ever and not any(is_type(column, one) for one in ever):
            return False
    return True


def key_at(seen: Relation, known: Table, now: Table, columns: Sequence[Column]) -> tuple[str, ...]:
    """The columns that name an old row, in the key's order. Under FULL the message does not tell the key."""
    names = {column.name for column in columns}
    flagged = {column.name for column in seen.columns if column.key} & names
    here = _named(known.key, known.columns, columns)
    if seen.identity == "f":
        return here if len(here) == len(known.key) and known.full else now.primary if set(now.primary) <= names else ()
    for key in (here, now.key, _named(known.primary, known.columns, columns), now.primary):
        if set(key) == flagged:
            return tuple(key)
    return tuple(column.name for column in seen.columns if column.name in flagged)


def _named(key: Sequence[str], were: Sequence[Column], are: Sequence[Column]) -> tuple[str, ...]:
    """The names that the key's columns have now; shorter where one is gone."""
    numbers = {column.name: column.ident for column in were}
    names = {column.ident: column.name for column in are}
    return tuple(names[numbers[name]] for name in key if numbers[name] in names)
