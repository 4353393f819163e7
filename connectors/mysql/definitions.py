"""What the statements of the log make of the tables that are carried: their definitions as of each place.

A table is what it was when it was loaded, and what each statement since made of it. The catalogue knows only what it is
now, so it is asked for nothing that would matter to a row of then (T-MY-5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import starmap
from typing import Any

from cdcd.errors import SchemaChanged, Stopped
from cdcd.model.change import SchemaChange, paired
from cdcd.model.group import Truncate
from cdcd.model.table import Column, Table
from connectors.mysql.alteration import Alteration, Setting, Unfit
from connectors.mysql.charsets import decoder
from connectors.mysql.collations import Collations
from connectors.mysql.events import Query
from connectors.mysql.foreign_keys import followed, named, pointed, spelled
from connectors.mysql.position import Place
from connectors.mysql.server import Server
from connectors.mysql.statements import (
    Altered,
    Effect,
    Find,
    Gone,
    Name,
    Renamed,
    Replaced,
    Touched,
    Truncated,
    effects,
)  # fmt: skip
from connectors.mysql.tokens import Dialect, NotUnderstood
from connectors.mysql.track import passed
from connectors.mysql.types import native_of

Step = SchemaChange | Truncate


class Definitions:
    """`collations` and `look` (a table by its id, as it is now) ask the server. `read`: to where the log had come when
    a chunk of a table was read last: what changed the table before may be in the chunk already."""

    def __init__(
        self, server: Server, collations: Callable[[], Collations], look: Callable[[str], Table | None],
        read: Mapping[str, Place],
    ) -> None:  # fmt: skip
        self.collations = collations
        self.server = server
        self._look = look
        self._read = read

    def steps(self, query: Query, tables: Mapping[str, Table], name: tuple[Any, Any], position: object) -> list[Step]:
        """What a statement, at the end of the transaction `name`, does to the carried tables, by id. Raises
        SchemaChanged where it is not understood, Stopped where it changed rows that are not in the log."""
        if query.idle:
            return []
        ids = {self._folded(id): id for id in tables}

        def find(called: Name) -> str | None:
            return ids.get(self._folded(".".join(called)))

        dialect = self._dialect(query)
        steps: list[Step] = []
        try:
            text, unknown = self._text(query)
            for effect in effects(text, query.database, dialect, tables, find):
                if unknown:
                    its = None if isinstance(effect, Renamed) else effect.table
                    raise _not_understood(query, NotUnderstood(f"it is in {unknown}", 0), its, position)
                steps += self._made(effect, query, dialect, tables, find, position)
        except NotUnderstood as error:
            raise _not_understood(query, error, None, position) from None
        return list(self._past(steps, tables, name))

    def _folded(self, id: str) -> str:
        return id.lower() if self.server.folds else id

    def _dialect(self, query: Query) -> Dialect:
        major, minor, patch = self.server.version
        number = major * 10000 + minor * 100 + patch
        explicit = bool(query.flags & 1 << 24) if self.server.mariadb else query.explicit
        return Dialect(self.server.mariadb, number, query.sql_mode, explicit)

    def _text(self, query: Query) -> tuple[str, str]:
        """A statement is in the log as the client sent it. Where its character set is not known, that, and a text of
        which only what is ASCII is right."""
        if query.raw.isascii() or not query.charset:
            return query.text, ""
        collations = self.collations()
        charset = collations.charsets.get(collations.names.get(query.charset, ""), str(query.charset))
        try:
            return decoder(charset)(query.raw), ""
        except (LookupError, ValueError):
            return query.raw.decode("latin-1"), charset

    def _made(
        self, effect: Effect, query: Query, dialect: Dialect, tables: Mapping[str, Table], find: Find, position: object
    ) -> Iterator[Step]:
        if isinstance(effect, Renamed):
            yield from self._renamed(effect, tables, find)
            return
        table = tables[effect.table]
        if isinstance(effect, Truncated):
            yield Truncate([table], cascade=False, restart_identity=True)
        elif isinstance(effect, Touched):
            if not effect.named and query.touched is not None and table.schema not in query.touched:
                return
            raise Stopped(
                f"a statement {'changed' if effect.named else 'may have changed'} rows of {table.id}, and the log has "
                "the statement, not the rows",
                why="it was run with binlog_format STATEMENT or MIXED",
                hint="SET GLOBAL binlog_format = ROW, end the sessions that began before, cdcd reload the table",
                table=table.id,
                position=position,
            )
        elif isinstance(effect, Gone):
            # What has its name now is another table: everything of it is to be read.
            yield _again(table) if self._look(table.id) is not None else SchemaChange(table, None)
        elif isinstance(effect, Replaced):
            yield _again(table)
        else:
            yield from self._altered(effect, query, dialect, table, find, tables, position)

    def _altered(
        self, effect: Altered, query: Query, dialect: Dialect, table: Table, find: Find, tables: Mapping[str, Table],
        position: object,
    ) -> Iterator[Step]:  # fmt: skip
        collations = self.collations().with_default(query.utf8mb4)
        try:
            made = Alteration(table, effect.words, Setting(dialect, query.database, collations), effect.ignore)
        except NotUnderstood as error:
            raise _not_understood(query, error, table.id, position) from None
        except Unfit as error:
            why = f"{error}: it was altered without the log, or is known as it became only later"
            raise _stop(query, "does not fit to the table as it is known", why, table.id, position) from None
        new = replace(made.table, version=table.version + 1)
        if self.server.folds:
            new = replace(new, schema=new.schema.lower(), name=new.name.lower())
        new = self._pointing(table, new, tables)
        if made.reload or _differs(table, new):
            yield SchemaChange(table, self._settled(new), reload=bool(made.reload))
        for child, now in followed(table, new, tables):
            yield SchemaChange(child, now)
        for name in made.others:
            if (other := find(name)) is not None:
                yield _again(tables[other])
        for name in made.gone:
            if (other := find(name)) is not None:
                yield SchemaChange(tables[other], None)

    def _pointing(self, old: Table, new: Table, tables: Mapping[str, Table]) -> Table:
        """With its foreign keys as the server has them: to itself by its new names, and each by a name."""
        names = {was.name: now.name for was, now in paired(old, new) if was is not None and now is not None}
        its = tuple(pointed(one, old.id, new.id, names) for one in new.references)
        new = spelled(replace(new, references=its), tables)
        return named(new, self._look(new.id)) if any(not one.name for one in its) else new

    def _settled(self, made: Table) -> Table:
        """With defaults and expressions as the catalogue writes them, where it still has the table in this shape."""
        now = self._look(made.id)
        if now is None or _shape(now) != _shape(made):
            return made
        columns = tuple(starmap(_told_anew, zip(made.columns, now.columns, strict=True)))
        return replace(made, unique=now.unique, columns=columns)

    def _renamed(self, effect: Renamed, tables: Mapping[str, Table], find: Find) -> Iterator[Step]:
        """Step by step, as the server does it. A table that is not carried, and takes the name of one that is, has its
        rows from elsewhere: what is carried keeps its name, and is read again. (That is what online schema change
        tools do, where their new table is not carried.)"""
        owners: dict[str, str | None] = {}  # who has a name now: a carried table, by its first id, another (""), nobody
        for old, new in effect.names:
            was, now = (self._folded(".".join(name)) for name in (old, new))
            owners[now] = owners[was] if was in owners else find(old) or ""
            owners[was] = None
        taken = {id for id in tables if owners.get(self._folded(id)) == ""}
        for id in sorted(taken):
            yield _again(tables[id])
        at = {id: table for id, table in tables.items() if id not in taken}
        names = {self._folded(id): id for id in at}
        for old, new in effect.names:
            if (id := names.pop(self._folded(".".join(old)), "")) != "":
                schema, name = (part.lower() if self.server.folds else part for part in new)
                table = at[id]
                its = tuple(pointed(one, table.id, f"{schema}.{name}", {}) for one in table.references)
                at[id] = replace(table, schema=schema, name=name, references=its, version=table.version + 1)
                names[self._folded(".".join(new))] = id
                for child, changed in followed(table, at[id], at):
                    yield SchemaChange(child, changed)
                    at = {key: changed if value is child else value for key, value in at.items()}
                yield SchemaChange(table, at[id])

    def _past(self, steps: Sequence[Step], tables: Mapping[str, Table], name: tuple[Any, Any]) -> Iterator[Step]:
        """A chunk that was read behind the statement may hold what it made already (T-MY-12)."""
        past = {id for id in tables if (place := self._read.get(id)) is not None and passed(place, name)}
        for step in steps:
            if isinstance(step, SchemaChange) and step.new is not None and step.old.id in past:
                past.add(step.new.id)
                yield replace(step, reload=True)
            else:
                yield step


def _told_anew(then: Column, now: Column) -> Column:
    """The default is what rows have that are inserted without a value: another one came with a later statement. Rows
    never get one of these two types' from here."""
    then = replace(then, generated=now.generated)
    if (then.default is None) != (now.default is None):
        return then
    if native_of(then).name in ("timestamp", "json"):
        return replace(then, default=now.default, simple=now.simple)
    return replace(then, default=now.default) if then.simple == now.simple else then


def _again(table: Table) -> SchemaChange:
    return SchemaChange(table, replace(table, version=table.version + 1), reload=True)


def _differs(old: Table, new: Table) -> bool:
    return old.collation != new.collation or replace(old, version=new.version) != new


def _shape(table: Table) -> list[object]:
    columns = [(c.name, c.native, c.collation, c.nullable, c.generated is None, c.identity) for c in table.columns]
    return [table.id, *columns, table.primary, table.key]


def _not_understood(query: Query, error: NotUnderstood, table: str | None, position: object) -> SchemaChanged:
    return _stop(query, "is not understood", f"{error}, at character {error.at + 1}", table, position)


def _stop(query: Query, what: str, why: str, table: str | None, position: object) -> SchemaChanged:
    """Without the statement, which may hold values."""
    words = " ".join(query.text.split()[:2])
    name = table or "TABLE"
    return SchemaChanged(
        f"a statement of the log, {words} …, {what}",
        why=why,
        hint=f"cdcd reload {name}, and run again: the table is then read anew, in the shape that it has at the source "
        "then, and the statement is passed over",
        table=table,
        position=position,
    )
