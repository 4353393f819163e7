"""The statements by which a table of the target becomes what the source's has become. What is as wanted already is left
alone: it may have been prepared by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cdcd.errors import SchemaChanged
from cdcd.model.change import SchemaChange, paired, primary, retyped
from cdcd.model.table import Column, Table
from connectors.mysql.ddl import PRODUCTS, column_type, define_column
from connectors.mysql.defaults import expression
from connectors.mysql.names import literal, quote
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape, find_shape
from connectors.mysql.types import Native

Pairs = Sequence[tuple[Column | None, Column | None]]


def plan_changes(session: Session, change: SchemaChange) -> list[str]:
    """What follows ALTER TABLE: as few statements as can be, each of which the server makes whole or not at all. The
    table has its old name until the first of them is made."""
    assert change.new is not None
    old, new = change.old, change.new
    shape = find_shape(session, old) if old.id != new.id else find_shape(session, new)
    if shape is None and find_shape(session, new) is None:
        raise SchemaChanged(f"the target has no table {old.id}", hint="bring it back as it was, and run again")
    if shape is None:
        shape = find_shape(session, new)  # it was renamed by hand
    assert shape is not None
    pairs = [(None if was is not None and was.left_out else was, now) for was, now in paired(old, new)]
    first = [*_columns(session, change, pairs, shape), *_keys(old, new, shape, pairs)]
    if (shape.schema, shape.name) != (session.homes.of(new.schema), new.name):
        if find_shape(session, new) is not None:
            raise SchemaChanged(
                f"{old.id} is called {new.id} now, and the target has a table of that name",
                why="it may be one whose source was dropped, or somebody else's",
                hint=f"rename or drop {new.id} at the target, and run again",
                table=old.id,
            )
        first.append(f"RENAME TO {session.homes.sql(new)}")
    after = [
        f"ALTER COLUMN {quote(now.name)} {_set_default(session, new, now)}" for was, now in pairs
        if was is None and now is not None and _older(change, now) and now.name not in shape.columns
    ]  # fmt: skip
    return [part for part in (", ".join(first), ", ".join(after)) if part]


def _older(change: SchemaChange, column: Column) -> bool:
    """Whether rows that are there get a value that new ones do not."""
    if column.missing is None or change.reload:
        return False
    return column.simple is None or column.simple.kind != "value" or column.simple.text != column.missing


def _set_default(session: Session, table: Table, column: Column) -> str:
    default = expression(column, column_type(session, table, column))
    return "DROP DEFAULT" if default is None else f"SET DEFAULT {default}"


def _columns(session: Session, change: SchemaChange, pairs: Pairs, shape: Shape) -> Iterator[str]:
    new = change.new
    assert new is not None
    names = {was.name for was, _ in pairs if was is not None} & shape.columns.keys()
    for was, now in pairs:
        if was is not None and now is None and was.name in shape.columns:
            yield f"DROP COLUMN {quote(was.name)}"
            continue
        if now is None or now.left_out or now.generated is not None:
            continue
        if was is None or was.name not in shape.columns:
            if now.name not in shape.columns or (was is None and now.name in names):
                yield f"ADD COLUMN {_new(session, change, now)}"
            continue
        if _same(session, new, was, now, shape):
            if was.name != now.name and (now.name not in shape.columns or now.name in names):
                yield f"RENAME COLUMN {quote(was.name)} TO {quote(now.name)}"
        else:
            there = shape.columns[was.name]
            touched = f" ON UPDATE CURRENT_TIMESTAMP({there.native.number(0, 0)})" if there.touched else ""
            definition = define_column(session, new, now)
            yield f"CHANGE COLUMN {quote(was.name)} {definition}{_kept_default(now, new)}{touched}"


def _same(session: Session, table: Table, was: Column, now: Column, shape: Shape) -> bool:
    """Whether no more than the name differs at the target, or ever did at the source."""
    there = shape.columns[was.name]
    if was.nullable != now.nullable and there.nullable != now.nullable:
        return False
    if not retyped(was, now):
        return True
    wanted = column_type(session, table, now).partition(" CHARACTER SET")[0]
    same_type = _plain(Native.parse(wanted)) == _plain(there.native)
    return same_type and (not there.collation or there.collation == now.collation or now.collation is None)


def _plain(native: Native) -> tuple[object, ...]:
    """Without the width that numbers are shown in."""
    numbers = () if native.name.endswith("int") else native.numbers
    return native.name, numbers, native.labels, native.unsigned


def _new(session: Session, change: SchemaChange, column: Column) -> str:
    """Its definition, with what rows that are there get."""
    new = change.new
    assert new is not None
    if _older(change, column):
        return f"{define_column(session, new, replace(column, simple=None))} DEFAULT {_written(column)}"
    return define_column(session, new, column) + _kept_default(column, new)


def _kept_default(column: Column, table: Table) -> str:
    """The source's expression, where it is this product's and no simple one, which its definition has."""
    own = column.default is not None and column.simple is None and not column.identity
    return f" DEFAULT ({column.default})" if own and table.product in PRODUCTS else ""


def _written(column: Column) -> str:
    """A value that the source tells as text, as a literal here."""
    assert column.missing is not None
    family, value = column.type.family, column.missing
    if family == "bool":
        return "1" if value in ("t", "true") else "0"
    if family == "timestamptz":
        value = value.removesuffix("+00")
    if family in ("bytes", "json", "jsonb") or len(value) > 255:
        raise SchemaChanged(
            f"column {column.name} is new, and older rows have a value that no DEFAULT here can give them",
            hint="have the table loaded again: cdcd reload",
        )
    return literal(value)


def _keys(old: Table, new: Table, shape: Shape, pairs: Pairs) -> Iterator[str]:
    if primary(old) == primary(new):
        return
    names = {was.name: now.name for was, now in pairs if was is not None and now is not None}
    there = tuple(names.get(name, name) for name in shape.keys.get("PRIMARY", ()))
    if there == new.primary:
        return
    if there:
        yield "DROP PRIMARY KEY"
    if new.primary:
        yield f"ADD PRIMARY KEY ({', '.join(map(quote, new.primary))})"
    elif new.key:
        yield f"ADD UNIQUE ({', '.join(map(quote, new.key))})"


def verify(session: Session, change: SchemaChange) -> None:
    """The target's table takes the rows that come; named, with what a person has to do, where it does not."""
    new = change.new
    assert new is not None
    shape = find_shape(session, new)
    wrong = [f"the target has no table {new.id}"] if shape is None else list(_wrong(new, shape))
    if wrong:
        way = "alter the target's table in the same way and run again"
        raise SchemaChanged(
            f"the source's table {change.old.id} was altered: {change.said}",
            why=f"{'; '.join(wrong)} (on_schema_change = {change.policy})",
            hint=way if change.policy == "apply" else f"{way}, or run with --on-schema-change apply",
            table=change.old.id,
        )


def _wrong(new: Table, shape: Shape) -> Iterator[str]:
    for column in new.carried:
        if column.name not in shape.columns:
            yield f"it has no column {column.name} {column.native}"
        elif shape.columns[column.name].generated:
            yield f"its column {column.name} is computed there"
    carried = {column.name for column in new.columns if not column.left_out}
    for there in shape.columns.values():
        if there.name not in carried and not there.given:
            yield f"its column {there.name} is NOT NULL, without a default, and gets no value any more"

