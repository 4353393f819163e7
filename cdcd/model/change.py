"""A table that became another: columns are told by their number at the source, which a rename keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cdcd.model.chunk import Chunk, State
from cdcd.model.schema import Statement
from cdcd.model.table import Column, Table

Policy = Literal["apply", "stop", "ignore"]


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """From here on `old` is `new` (None: it is not at the source any more).

    `reload`: its rows are not what they were either, and no event told so: the target's are taken away, all chunks are
    unread, and it is loaded again. `chunks` are its chunks from now on; the engine sets them, `needs`: what its columns
    need at a target of the same product, and `policy`: by "apply" the target's table is altered; by "stop" a person
    must have altered it; by "ignore" it stays what it is.
    """

    old: Table
    new: Table | None
    reload: bool = False
    policy: Policy = "apply"
    chunks: tuple[Chunk, ...] = ()
    needs: tuple[Statement, ...] = ()

    @property
    def said(self) -> str:
        """What changed, for people."""
        if self.new is None:
            return "it is not at the source any more"
        said = differences(self.old, self.new)
        if self.reload:
            said.append("its rows are loaded again")
        return "; ".join(said) or "nothing that rows show"


def paired(old: Table, new: Table) -> Iterator[tuple[Column | None, Column | None]]:
    """Each column as it was and as it is, in the order of their numbers; by name where it is another table."""
    same = old.oid == new.oid
    before = {column.ident if same else column.name: column for column in old.columns}
    after = {column.ident if same else column.name: column for column in new.columns}
    for name in [*before, *(name for name in after if name not in before)]:
        yield before.get(name), after.get(name)


def differences(old: Table, new: Table) -> list[str]:
    """What differs, a sentence each; empty: the same shape."""
    said = [] if old.id == new.id else [f"it is called {new.id} now"]
    if old.oid != new.oid:
        said.append("it was dropped and made again")
    for was, now in paired(old, new):
        if was is None and now is not None:
            said.append(f"column {now.name} {now.native} is new")
        elif now is None and was is not None:
            said.append(f"column {was.name} is gone")
        elif was is not None and now is not None and was != now:
            said += _column(was, now)
    if old.full != new.full:
        said.append(f"REPLICA IDENTITY FULL was {'set' if new.full else 'taken away'}")
    if _key(old) != _key(new):
        was_key, is_key = ", ".join(old.key) or "none", ", ".join(new.key) or "none"
        said.append(f"the columns that name a row were {was_key} and are {is_key}")
    elif primary(old) != primary(new):
        said.append(f"the primary key is {', '.join(new.primary) or 'gone'}")
    if set(old.references) != set(new.references):
        said.append("what its foreign keys do to its rows is another")
    return said


def primary(table: Table) -> list[int]:
    """The columns of its primary key, whatever they are called."""
    return sorted(column.ident for column in table.columns if column.name in table.primary)


def _column(was: Column, now: Column) -> list[str]:
    said = []
    if was.name != now.name:
        said.append(f"column {was.name} is called {now.name} now")
    if retyped(was, now):
        said.append(f"column {now.name} was {was.native} and is {now.native}")
    if was.nullable != now.nullable:
        said.append(f"column {now.name} {'may be NULL now' if now.nullable else 'is NOT NULL now'}")
    if was.generated != now.generated:
        said.append(f"column {now.name} is computed in another way")
    if was.left_out and not now.left_out:
        said.append(f"column {now.name} was left out until now")
    if was.default != now.default:
        said.append(f"the default of column {now.name} is {now.default or 'gone'}")
    return said


def asks(change: SchemaChange) -> bool:
    """Whether it may want types or sequences that were not there before."""
    return change.new is not None and any(
        now is not None and (was is None or retyped(was, now) or was.default != now.default)
        for was, now in paired(change.old, change.new)
    )


def retyped(was: Column, now: Column) -> bool:
    return (was.type_id, was.native, was.collation) != (now.type_id, now.native, now.collation)


def _key(table: Table) -> list[tuple[int, int, str]]:
    """The key's columns, whatever they are called."""
    return sorted((column.ident, column.type_id, column.native) for column in table.key_columns)


def rewritten(old: Table, new: Table) -> bool:
    """Whether rows may have been changed by the definition's change itself: what holds them is another, and a column
    that is there was altered or added. (VACUUM FULL and TRUNCATE alter none.)"""
    if old.mark == new.mark:
        return False
    return any(
        now is not None and not now.left_out and (was is None or was.mark != now.mark) for was, now in paired(old, new)
    )


def become(old: Table, new: Table | None) -> SchemaChange | None:
    """The change that makes `old` what it is seen to be, where no row of it lies between; None: there is none. The
    same number again is the same column, so a column dropped and added under its name is another."""
    if new is None:
        return SchemaChange(old, None)
    new = replace(new, version=old.version + 1)
    if old.oid != new.oid or rewritten(old, new) or _untold(old, new):
        return SchemaChange(old, new, reload=True)
    return SchemaChange(old, new) if differences(old, new) else None


def numbered(old: Table, new: Table) -> Table:
    """`new` as a catalogue tells it that has no lasting numbers: a column keeps the one that it is known by under its
    name, and a new one gets the next. (What was renamed, the stream tells.)"""
    known = {column.name: column.ident for column in old.columns}
    last = max([old.attributes, *known.values()])
    columns = []
    for column in new.columns:
        last += column.name not in known
        columns.append(replace(column, ident=known.get(column.name, last)))
    return replace(new, columns=tuple(columns), attributes=last)


def _untold(old: Table, new: Table) -> bool:
    """A column that was computed, or left out, is not any more: its values were never carried."""
    return any(
        (was.generated is None) != (now.generated is None) or (was.left_out and not now.left_out)
        for was, now in paired(old, new)
        if was is not None and now is not None
    )


def carried_over(old: Table, new: Table, chunks: Sequence[Chunk]) -> tuple[Chunk, ...] | None:
    """The table's chunks after a change of shape. Where the key is another one they become one, which is in; None: some
    are not in, and their bounds have lost their meaning."""
    if old.oid == new.oid and _key(old) == _key(new):
        names = {was.name: now.name for was, now in paired(old, new) if was is not None and now is not None}
        return tuple(
            replace(chunk, table=new.id, columns=tuple(names[name] for name in chunk.columns)) for chunk in chunks
        )
    if any(chunk.state is not State.IN for chunk in chunks):
        return None
    rows, size = sum(chunk.rows for chunk in chunks), sum(chunk.bytes for chunk in chunks)
    return (Chunk(new.id, 0, state=State.IN, rows=rows, bytes=size),)


def without(old: Table, new: Table, added: bool = True) -> Table:
    """The new table as it is where the target's shall stay what it is: columns that were left out stay so, and so do
    new ones (`added`); names, nullability and defaults are the target's own affair."""
    known = {now.ident: added if was is None else was.left_out for was, now in paired(old, new) if now is not None}
    return replace(new, columns=tuple(replace(column, left_out=known[column.ident]) for column in new.columns))


def concerned(old: Table, new: Table) -> bool:
    """Whether rows that were rewritten may differ in more than columns that are left out."""
    if old.oid != new.oid or old.leaves != new.leaves or _untold(old, new):
        return True
    return any(
        now is not None and not now.left_out and (was is None or was.mark != now.mark) for was, now in paired(old, new)
    )
