"""What every sink that keeps its state in tables refuses, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from cdcd.errors import Fenced, StateRefused, Transient, UsageError
from cdcd.model.chunk import Chunk
from cdcd.model.table import Table

T = TypeVar("T")


def as_written(table: str, make: Callable[[], T]) -> T:
    """What a row of cdcd.`table` holds, as ours: somebody may have written into it, or storage may be damaged (PO-07).
    """
    try:
        return make()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateRefused(
            f"a row of cdcd.{table} at the target is not as cdcd writes it",
            why=f"{type(error).__name__}: {error}",
            hint="restore the target, cdcd's own tables included, from one backup; or `cdcd drop` and begin a new one",
        ) from None


def known(version: int, ours: int) -> int:
    """The control tables' version, which must not be newer than ours."""
    if version > ours:
        raise StateRefused(
            f"the control tables at the target have version {version}, this cdcd knows {ours}",
            why="a newer cdcd has written here; an older one would misread it",
            hint="run that version of cdcd, or a newer one",
        )
    return version


def fenced(pipeline: str) -> Fenced:
    return Fenced(
        "another process has taken over this pipeline",
        why="its epoch at the target was raised by another owner",
        hint="run one daemon for a pipeline; --standby makes the other one wait",
        pipeline=pipeline,
    )


def without_checkpoint(pipeline: str) -> StateRefused:
    return StateRefused(f"pipeline {pipeline} was never started", why="it has no checkpoint")


def applies(pipeline: str) -> Transient:
    """A retry waited for its checkpoint's row as long as it may."""
    return Transient(
        f"pipeline {pipeline} applies a transaction for longer than 30 s",
        why="no change is made again in the middle of one",
        hint="run it again when that is through: see `cdcd status`",
    )


def after_error(pipeline: str) -> StateRefused:
    return StateRefused("nothing is written after an error", hint="claim again", pipeline=pipeline)


def other_checkpoint(pipeline: str) -> StateRefused:
    return StateRefused(
        "the checkpoint at the target is not the one this process stored last",
        why="another process of this owner has gone on from there, or somebody changed it",
        hint="run again: the stored checkpoint is what counts",
        pipeline=pipeline,
    )


def not_now(chunk: Chunk, unread: bool) -> Transient:
    """A crash of the target may have taken the checkpoint back: the next claim tells."""
    elsewhere = "the stored checkpoint is not the place of its snapshot"
    return Transient(
        "a chunk cannot be written now",
        why=elsewhere if unread else "it is in already",
        table=chunk.table,
        chunk=chunk.number,
    )


def other_count(chunk: Chunk, rows: int, expected: int) -> StateRefused:
    return StateRefused(
        f"{rows} rows of {expected} were written",
        why="something at the target keeps rows from being written",
        table=chunk.table,
        chunk=chunk.number,
    )


def filled(tables: Iterable[str]) -> StateRefused:
    return StateRefused(
        f"tables at the target hold rows already: {', '.join(tables)}",
        why="with target_tables = create, rows there are somebody else's",
        hint="empty them, or choose target_tables = truncate or drop, which delete what is there",
    )


def gone(table: Table) -> StateRefused:
    return StateRefused(
        "the table is not at the target",
        why="it was dropped or renamed there after this pipeline began",
        hint="bring it back as it was, or drop the pipeline and begin anew",
        table=table.id,
    )


def keyless(table: Table, statement: str) -> UsageError:
    """`statement` makes the index."""
    return UsageError(
        f"the target's table has no unique index on {', '.join(table.key)}",
        why="the source names a changed or deleted row by these columns",
        hint=statement,
        table=table.id,
    )
