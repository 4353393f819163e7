"""A table of the target made what the source's has become, in the transaction of the rows before and after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cdcd.errors import CdcdError, SchemaChanged
from cdcd.log import get_logger
from cdcd.model.change import SchemaChange, paired, primary, retyped
from cdcd.model.schema import Statement
from cdcd.model.table import Column, Table
from connectors.postgres.ddl import has_key, key_index, make
from connectors.postgres.exceptions import supersede_tables
from connectors.postgres.foreign import take_off
from connectors.postgres.missing import missing
from connectors.postgres.names import qualified, quote_identifier, quote_literal
from connectors.postgres.objects_tables import define, set_default
from connectors.postgres.register import replace_table
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape, find_shape, read_shape
from connectors.postgres.translate import as_here

log = get_logger("postgres.alter")


def alter(session: Session, pipeline: str, change: SchemaChange, replica: bool) -> None:
    """Carry out a change, by its policy, and store what the table is from now on. `replica`: no trigger of a foreign
    key fires."""
    old, new = change.old, change.new
    if new is None:
        log.warning("a table is not carried any more; what it holds at the target stays there", table=old.id)
        replace_table(session, pipeline, old, None, ())
        return
    log.info("a table changed", table=old.id, what=change.said, policy=change.policy, version=new.version)
    session.run("SET CONSTRAINTS ALL IMMEDIATE")  # what is checked at commit would be in the way of ALTER
    try:
        if change.reload:
            _empty(session, pipeline, read_shape(session, old), replica)
            supersede_tables(session, pipeline, [old.id])
        there = replace(change, old=as_here(old), new=as_here(new))
        if change.policy == "apply":
            _Altering(session, there, as_here(new)).run()
        _verify(session, there, as_here(new))
    except CdcdError as error:
        if isinstance(error, SchemaChanged) or session.closed or error.retryable:
            raise
        raise SchemaChanged(
            f"what changed in {old.id} cannot be done at the target: {error.what}",
            why=f"{change.said}. {error.why}".strip(),
            hint=error.hint or "alter the target's table as the source's was, and run again",
            **{"table": old.id, **error.where},
        ) from error
    session.run("SET CONSTRAINTS ALL DEFERRED")
    replace_table(session, pipeline, old, new, change.chunks)
    if change.reload:
        session.run("UPDATE cdcd.epochs SET finished = false WHERE pipeline = %s AND finished", (pipeline,))


def _empty(session: Session, pipeline: str, shape: Shape, replica: bool) -> None:
    taken_off = not replica and take_off(session, pipeline, shape)
    alone = taken_off or not shape.referenced_by
    session.run(f"TRUNCATE {shape.only}" if alone else f"DELETE FROM {shape.only}")


_PRIMARY = """
SELECT k.conname, ARRAY(SELECT a.attname::text FROM pg_attribute a
                        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey))
FROM pg_constraint k WHERE k.conrelid = %s::regclass AND k.contype = 'p'
"""


class _Altering:
    """The statements of one change. What is as wanted already is left alone: it may have been prepared, or be another
    attempt at the same change."""

    def __init__(self, session: Session, change: SchemaChange, new: Table) -> None:
        self._session = session
        self._change = change
        self._old = change.old
        self._new = new
        self._sql = qualified(new)
        self._pairs = [
            (None if was is not None and was.left_out else was, now) for was, now in paired(change.old, new)
        ]  # what was left out is new here

    def run(self) -> None:
        self._make_needs()
        self._rename_table()
        there = read_shape(self._session, self._new).columns
        for was, now in self._pairs:
            if was is not None and now is None and was.name in there:
                self._do(f"DROP COLUMN {quote_identifier(was.name)}")
        self._rename_columns()
        there = read_shape(self._session, self._new).columns
        for was, now in self._pairs:
            if now is None or now.left_out:
                continue
            if was is None or now.name not in there:
                self._add(now, now.name in there)
            else:
                self._change_column(was, now, there[now.name].native, there[now.name].nullable)
        for was, now in self._pairs:
            if now is not None and now.generated is None and (was is None or was.default != now.default):
                if now.default is None:
                    self._do(f"ALTER {quote_identifier(now.name)} DROP DEFAULT") if was is not None else None
                else:
                    self._set_default(now)
        self._change_primary()
        if self._new.key and not has_key(read_shape(self._session, self._new), self._new):
            self._session.run(key_index(self._new))

    def _change_primary(self) -> None:
        """One that the source has no more would refuse rows that are right there."""
        if primary(self._old) == primary(self._new):
            return
        there = self._session.row(_PRIMARY, (self._sql,))
        if there is not None and set(there[1]) != set(self._new.primary):
            self._do(f"DROP CONSTRAINT {quote_identifier(there[0])}")
            there = None
        if there is None and self._new.primary:
            self._do(f"ADD PRIMARY KEY ({', '.join(map(quote_identifier, self._new.primary))})")

    def _make_needs(self) -> None:
        """What new columns need."""
        for statement in missing(self._session, self._change.needs):
            log.info("making", statement=statement.text)
            make(self._session, statement)

    def _set_default(self, column: Column) -> None:
        if not column.identity:
            of = ("table", self._new.schema, self._new.name)
            make(self._session, Statement("default", set_default(self._new, column), of, self._new.id))

    def _do(self, action: str) -> None:
        statement = f"ALTER TABLE {self._sql} {action}"
        log.info("altering", statement=statement)
        try:
            self._session.run(statement)
        except CdcdError as error:
            error.where["statement"] = statement
            raise

    def _rename_table(self) -> None:
        old, new = self._old, self._new
        if old.id == new.id or find_shape(self._session, old.schema, old.name) is None:
            return
        if find_shape(self._session, new.schema, new.name) is not None:
            raise SchemaChanged(
                f"{old.id} is called {new.id} now, and the target has a table of that name",
                why="it may be one whose source was dropped, or somebody else's",
                hint=f"rename or drop {new.id} at the target, and run again",
                table=old.id,
            )
        name, moved = f"{quote_identifier(old.schema)}.{quote_identifier(old.name)}", old.name
        if old.schema != new.schema:
            if self._session.row("SELECT FROM pg_namespace WHERE nspname = %s", (new.schema,)) is None:
                self._session.run(f"CREATE SCHEMA {quote_identifier(new.schema)}")
            self._session.run(f"ALTER TABLE {name} SET SCHEMA {quote_identifier(new.schema)}")
            name = f"{quote_identifier(new.schema)}.{quote_identifier(moved)}"
        if old.name != new.name:
            self._session.run(f"ALTER TABLE {name} RENAME TO {quote_identifier(new.name)}")

    def _rename_columns(self) -> None:
        """By way of names that nobody has, where they change places."""
        there = read_shape(self._session, self._new).columns
        renamed = [
            (was.name, now.name) for was, now in self._pairs
            if was is not None and now is not None and was.name != now.name and was.name in there
        ]  # fmt: skip
        taken = {was for was, _ in renamed}
        renamed = [(was, now) for was, now in renamed if now not in there or now in taken]
        if any(now in taken for _, now in renamed):
            for number, (was, now) in enumerate(renamed):
                self._do(f"RENAME {quote_identifier(was)} TO {quote_identifier(f'cdcd_renamed_{number}')}")
                renamed[number] = (f"cdcd_renamed_{number}", now)
        for was, now in renamed:
            self._do(f"RENAME {quote_identifier(was)} TO {quote_identifier(now)}")

    def _add(self, column: Column, there: bool) -> None:
        """Rows that are there get what the source's older rows have."""
        name = quote_identifier(column.name)
        value = None if column.missing is None else f"{quote_literal(column.missing)}::{column.native}"
        if there:
            if value and not self._change.reload:
                self._session.run(f"UPDATE {self._sql} SET {name} = {value} WHERE {name} IS NULL")
            return
        if value is None or self._change.reload or column.identity:
            self._do(f"ADD COLUMN {define(column, self._new)}")
            return
        self._do(f"ADD COLUMN {define(column, self._new)} DEFAULT {value}")
        self._do(f"ALTER {name} DROP DEFAULT")

    def _change_column(self, was: Column, now: Column, native: str, nullable: bool) -> None:
        name = quote_identifier(now.name)
        other = native != now.native or was.collation != now.collation
        if retyped(was, now) and now.generated is None and other:
            collate = f" COLLATE {now.collation}" if now.collation else ""
            # No row is left to be converted where the table is loaded again, and there may be no way to.
            using = f"NULL::{now.native}" if self._change.reload else f"{name}::{now.native}"
            if was.default is not None:
                self._do(f"ALTER {name} DROP DEFAULT")
            self._do(f"ALTER {name} TYPE {now.native}{collate} USING {using}")
            if now.default is not None:
                self._set_default(now)
        if now.generated is not None and was.generated != now.generated:
            self._compute(now)
        if nullable != now.nullable and was.nullable != now.nullable:
            self._do(f"ALTER {name} {'DROP' if now.nullable else 'SET'} NOT NULL")

    def _compute(self, column: Column) -> None:
        """Another expression, unless only what it names was renamed: then the target's followed."""
        name = quote_identifier(column.name)
        text = self._session.rows(
            "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid"
            " AND a.attnum = d.adnum WHERE d.adrelid = %s::regclass AND a.attname = %s AND a.attgenerated <> ''",
            (self._sql, column.name),
        )
        if text != [(column.generated,)]:
            self._do(f"DROP COLUMN {name}")
            self._do(f"ADD COLUMN {define(column, self._new)}")


def _verify(session: Session, change: SchemaChange, new: Table) -> None:
    """The target's table takes the rows that come; named, with what a person has to do, where it does not."""
    shape = find_shape(session, new.schema, new.name)
    wrong = [f"the target has no table {new.id}"] if shape is None else list(_wrong(change, new, shape))
    if wrong:
        raise SchemaChanged(
            f"the source's table {change.old.id} was altered: {change.said}",
            why=f"{'; '.join(wrong)} (on_schema_change = {change.policy})",
            hint=_way_on(change),
            table=change.old.id,
        )


def _pairs(change: SchemaChange) -> list[tuple[Column | None, Column | None]]:
    assert change.new is not None
    return list(paired(change.old, change.new))


def _way_on(change: SchemaChange) -> str:
    """A table whose columns went, or have other names, takes no rows of those before the change any more."""
    alter, apply = "alter the target's table in the same way and run again", "run with --on-schema-change apply"
    if change.policy == "apply":
        return alter
    if any(was is not None and (now is None or was.name != now.name) for was, now in _pairs(change)):
        return f"{apply} until it is through; the target's table must not be altered by hand before"
    return f"{alter}, or {apply}"


def _wrong(change: SchemaChange, new: Table, shape: Shape) -> Iterator[str]:
    for column in new.carried:
        if column.name not in shape.columns:
            yield f"it has no column {column.name} {column.native}"
        elif shape.columns[column.name].generated:
            yield f"its column {column.name} is computed there"
    if change.policy == "stop":
        for was, now in _pairs(change):
            if was is None or now is None or now.name not in shape.columns or not retyped(was, now):
                continue
            if shape.columns[now.name].native == was.native != now.native:
                yield f"its column {now.name} is {was.native}"
        names = {column.name for column in new.columns}
        for was, now in _pairs(change):
            if was is not None and now is None and was.name in shape.columns and was.name not in names:
                yield f"it has the column {was.name} still"
    carried = {column.name for column in new.columns if not column.left_out}
    for column_there in shape.columns.values():
        given = column_there.nullable or column_there.default or column_there.generated
        if column_there.name not in carried and not given:
            yield f"its column {column_there.name} is NOT NULL, without a default, and gets no value any more"
