"""Changes of tables at a server whose ALTER TABLE commits: exact after a crash at every step (T-MT-5).

    rows before ─► intent, with the number of changes that are in since the checkpoint ─► COMMIT
                ─► for each statement: digests of the table before and after it, COMMIT, the statement
                ─► definitions, chunks, the checkpoint behind the change; the intent is gone ─► COMMIT

Whoever claims the pipeline first carries an intent to its end. Its digests say whether the statement under way was
carried out; a table that is neither as before nor as after it was touched by somebody else, and both are shown. Inside
of a source's transaction there is no place behind the change yet: the intent stays, as made, until that transaction's
end, and what is in since the checkpoint is passed over when it comes again (T-PO-4).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from cdcd.errors import CdcdError, SchemaChanged, StateRefused
from cdcd.log import get_logger
from cdcd.model.change import SchemaChange
from cdcd.model.chunk import Chunk, State
from cdcd.model.table import Table
from cdcd.refused import as_written, fenced
from connectors.mysql.alter import plan_changes, verify
from connectors.mysql.claim import to_text
from connectors.mysql.digest import clone_of, comment, digest, wanted
from connectors.mysql.names import literal, quote
from connectors.mysql.register import replace_table
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape, ShapeColumn, find_shape

log = get_logger("mysql.intents")

Brief = Callable[[], AbstractContextManager[Session]]
"""A session beside the one that applies: making tables there commits nothing here."""


@dataclass(slots=True)
class Intent:
    """`changes` in their order, of which `number` is under way: `statements` follow its ALTER TABLE, and of these `at`
    is. `place` is where the table stands until then. `done`: changes that are in since the checkpoint, `checkpoint` the
    text of the one behind, None: it is not known yet. `shapes`: the target's tables before, by id."""

    changes: list[SchemaChange]
    done: int
    checkpoint: str | None
    shapes: dict[str, Shape] = field(default_factory=dict)
    number: int = 0
    statements: list[str] = field(default_factory=list)
    at: int = 0
    place: tuple[str, str] = ("", "")
    before: str = ""
    after: str = ""
    made: bool = False


Stored = Mapping[str, Any]
"""A checkpoint, as JSON."""


class Intents:
    """Of one pipeline, on the session that applies."""

    def __init__(self, session: Session, brief: Brief, pipeline: str, epoch: int) -> None:
        self._session = session
        self._brief = brief
        self._pipeline = pipeline
        self._epoch = epoch
        self._clone = clone_of(pipeline)

    def begin(self, intent: Intent, before: Stored) -> None:
        """In the transaction of the rows before, which this commits; `before`: the checkpoint that stands."""
        self._plan(intent)
        self._store(intent)
        self._count(intent, before)
        self._session.run("COMMIT")

    def carry_out(self, intent: Intent) -> None:
        """All statements that are not made yet; outside a transaction."""
        while True:
            change = intent.changes[intent.number]
            for _ in range(intent.at, len(intent.statements)):
                self._alter(intent, change)
                intent.at += 1
                if intent.at < len(intent.statements):
                    self._aim(intent)
                    self._store(intent)
                    self._session.run("COMMIT")
            if change.new is not None:
                verify(self._session, change)
            if intent.number + 1 == len(intent.changes):
                return
            intent.number += 1
            self._plan(intent)
            self._store(intent)
            self._session.run("COMMIT")

    def settle(self, intent: Intent, before: Stored) -> str:
        """It is made: store the checkpoint behind it with what the tables are now, or, where that is not known, that it
        is made. In a transaction that the caller commits; the checkpoint's text."""
        text = "SELECT epoch FROM cdcd.epochs WHERE pipeline = %s AND epoch = %s LOCK IN SHARE MODE"
        if self._session.row(text, self._pipeline, self._epoch) is None:
            raise fenced(self._pipeline)
        if intent.checkpoint is None:
            intent.made = True
            self._store(intent)
            return self._count(intent, before)
        store_changes(self._session, self._pipeline, intent.changes)
        self._session.run("DELETE FROM cdcd.intents WHERE pipeline = %s", self._pipeline)
        self._put(intent.checkpoint)
        return intent.checkpoint

    def _count(self, intent: Intent, before: Stored) -> str:
        stored = to_text({**before, "done": intent.done})
        self._put(stored)
        return stored

    def _put(self, checkpoint: str) -> None:
        text = "UPDATE cdcd.checkpoints SET checkpoint = %s WHERE pipeline = %s AND scope = ''"
        self._session.run(text, checkpoint, self._pipeline)

    def _store(self, intent: Intent) -> None:
        self._session.run(
            "INSERT INTO cdcd.intents (pipeline, intent, made) VALUES (%s, %s, %s)"
            " ON DUPLICATE KEY UPDATE intent = VALUES(intent), made = VALUES(made)",
            self._pipeline, to_text(to_json(intent)), int(intent.made),
        )  # fmt: skip

    def _plan(self, intent: Intent) -> None:
        """The statements of the change that comes next. Asked on the session beside: this one may have changes."""
        change = intent.changes[intent.number]
        intent.at, intent.statements = 0, []
        if change.new is not None and change.policy == "apply":
            with self._brief() as session:
                intent.statements = plan_changes(session, change)
        if intent.statements:
            self._aim(intent)

    def _aim(self, intent: Intent) -> None:
        """Say which table the next statement is about, and what it is before and after it."""
        change = intent.changes[intent.number]
        assert change.new is not None
        with self._brief() as session:
            shape = find_shape(session, change.old if intent.at == 0 else change.new) or find_shape(session, change.new)
            assert shape is not None
            intent.place = (shape.schema, shape.name)
            intent.before = digest(session, *intent.place)
            actions = intent.statements[intent.at]
            bare = actions.rpartition("RENAME TO ")[0].rstrip(", ") if "RENAME TO " in actions else actions
            try:
                intent.after = wanted(session, self._clone, *intent.place, bare) if bare else intent.before
                if intent.after == intent.before and bare:
                    # Columns of one type that change places: only a mark tells that it was done.
                    said = f"{comment(session, *intent.place)} (cdcd {intent.done})".strip()
                    intent.statements[intent.at] = f"COMMENT = {literal(said)}, {actions}"
                    bare = f"COMMENT = {literal(said)}, {bare}"
                    intent.after = wanted(session, self._clone, *intent.place, bare)
            except CdcdError as error:
                raise _cannot(change, error) from error

    def _alter(self, intent: Intent, change: SchemaChange) -> None:
        """The statement under way, unless it was made already."""
        assert change.new is not None
        now = digest(self._session, *intent.place)
        target = (self._session.homes.of(change.new.schema), change.new.name)
        reached = digest(self._session, *target) == intent.after and (target == intent.place or not now)
        if reached and (target != intent.place or now != intent.before):
            return
        if now != intent.before:
            if change.policy == "apply" and not self._verified(change):
                raise StateRefused(
                    f"the target's table {'.'.join(intent.place)} is neither what it was before a change nor after",
                    why=f"its digest is {now or 'none'}; before: {intent.before}; after: {intent.after}",
                    hint=f"make it what ALTER TABLE … {intent.statements[intent.at]} would, and run again",
                    table=change.old.id,
                )
            return
        statement = f"ALTER TABLE {'.'.join(map(quote, intent.place))} {intent.statements[intent.at]}"
        log.info("altering", statement=statement)
        try:
            self._session.define(statement)
        except CdcdError as error:
            error.where["statement"] = statement
            raise _cannot(change, error) from error

    def _verified(self, change: SchemaChange) -> bool:
        try:
            verify(self._session, change)
        except SchemaChanged:
            return False
        with self._brief() as session:
            return not plan_changes(session, change)


def _cannot(change: SchemaChange, error: CdcdError) -> CdcdError:
    if isinstance(error, SchemaChanged) or error.retryable:
        return error
    return SchemaChanged(
        f"what changed in {change.old.id} cannot be done at the target: {error.what}",
        why=f"{change.said}. {error.why}".strip(),
        hint=error.hint or "alter the target's table as the source's was, and run again",
        **{"table": change.old.id, **error.where},
    )


def store_changes(session: Session, pipeline: str, changes: Sequence[SchemaChange]) -> None:
    """The tables are what these made them, from the checkpoint on that is stored with it."""
    for change in changes:
        replace_table(session, pipeline, change.old, change.new, change.chunks)
    if any(change.reload for change in changes):
        session.run("UPDATE cdcd.epochs SET finished = 0 WHERE pipeline = %s", pipeline)


def read_intent(session: Session, pipeline: str) -> Intent | None:
    row = session.row("SELECT intent FROM cdcd.intents WHERE pipeline = %s", pipeline)
    return as_written("intents", lambda: from_json(json.loads(row[0]))) if row else None


# --- as stored -------------------------------------------------------------------------------------------------------


def to_json(intent: Intent) -> dict[str, Any]:
    return {
        "version": 1, "changes": [_change(one) for one in intent.changes], "done": intent.done,
        "checkpoint": intent.checkpoint, "number": intent.number, "statements": intent.statements, "at": intent.at,
        "place": list(intent.place), "before": intent.before, "after": intent.after, "made": intent.made,
        "shapes": {id: asdict(shape) for id, shape in intent.shapes.items()},
    }  # fmt: skip


def from_json(data: dict[str, Any]) -> Intent:
    return Intent(
        [_change_of(one) for one in data["changes"]], data["done"], data["checkpoint"],
        {id: _shape_of(one) for id, one in data["shapes"].items()}, data["number"], data["statements"], data["at"],
        (data["place"][0], data["place"][1]), data["before"], data["after"], data["made"],
    )  # fmt: skip


def _change(change: SchemaChange) -> dict[str, Any]:
    return {
        "old": change.old.to_json(), "new": None if change.new is None else change.new.to_json(),
        "reload": change.reload, "policy": change.policy,
        "chunks": [
            {**c.to_json(), "table": c.table, "number": c.number, "state": str(c.state), "rows": c.rows,
             "bytes": c.bytes} for c in change.chunks
        ],
    }  # fmt: skip


def _change_of(data: dict[str, Any]) -> SchemaChange:
    new = None if data["new"] is None else Table.from_json(data["new"])
    chunks = tuple(
        Chunk(c["table"], c["number"], _bound(c["low"]), _bound(c["high"]), tuple(c["columns"]), State(c["state"]),
              c["rows"], c["bytes"]) for c in data["chunks"]
    )  # fmt: skip
    return SchemaChange(Table.from_json(data["old"]), new, data["reload"], data["policy"], chunks)


def _bound(value: list[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _shape_of(data: dict[str, Any]) -> Shape:
    columns = {name: ShapeColumn(**one) for name, one in data["columns"].items()}
    keys = {name: tuple(its) for name, its in data["keys"].items()}
    return Shape(data["schema"], data["name"], columns, keys, data["partial"])
