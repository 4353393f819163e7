"""Whether a Relation message still speaks of the table that is known, and which changes it tells of otherwise.

A message comes again whenever something about its table was touched, so each is a moment to look at the catalogue:
one question in the usual case, which finds everything as it was. What is asked answers from now, and the message
speaks of its place in the stream; schema_derive.py brings the two together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from cdcd.errors import SchemaChanged
from cdcd.log import get_logger
from cdcd.model.change import SchemaChange, become, differences, rewritten
from cdcd.model.table import Table
from connectors.postgres.announce import PREFIX, Announcement, Announcer, read
from connectors.postgres.ask import Asker
from connectors.postgres.catalogue import MARK, described, read_tables
from connectors.postgres.relation import Relation, is_as_known
from connectors.postgres.schema_derive import table_at
from connectors.postgres.watch import leaves_moved

log = get_logger("postgres.schema")

_FACE = f"""
SELECT c.relnatts || '|' || ({MARK}) || '|' ||
       (SELECT coalesce(string_agg(a.attnum || ':' || a.xmin, ',' ORDER BY a.attnum), '')
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c WHERE c.oid = %s
"""


_RUNNING = "SELECT FROM pg_locks WHERE locktype = 'transactionid' AND transactionid = %s::xid AND granted"

_NATIVES = "SELECT format_type(t, m) FROM unnest(%s::int8[]::oid[], %s::int4[]) WITH ORDINALITY w (t, m, n) ORDER BY n"


def face(table: Table) -> str:
    """What `_FACE` says of a table that is what is known."""
    columns = sorted(table.columns, key=lambda column: column.ident)
    return f"{table.attributes}|{table.mark}|{','.join(f'{c.ident}:{c.mark}' for c in columns)}"


class Look:
    """`loose`: for a sink without tables of its own."""

    def __init__(self, asker: Asker, loose: bool, announcer: Announcer) -> None:
        self._asker = asker
        self._loose = loose
        self._announcer = announcer
        self.told = 0
        """The transaction that told of a change last; 0: none."""
        self._harmless: dict[int, tuple[Table, str]] = {}

    def __call__(self, seen: Relation, known: Table, occupant: Table | None, xid: int) -> list[SchemaChange]:
        """The changes at this place, to be made in this order; usually none. `occupant`: another table that is carried
        under the name `seen` has. `xid`: the transaction that is read."""
        self._wait(xid)
        same = is_as_known(seen, known)
        if same and (self._loose or self._announcer.exact):
            return []
        if self._loose:
            return [SchemaChange(known, self._loosely(seen, known))]
        found = self._face(seen.oid)
        if same and (found in (face(known), None) or self._harmless.get(seen.oid) == (known, found)):
            return []
        changes = self._changes(seen, known, same)
        if not changes and found is not None:
            self._harmless[seen.oid] = (known, found)
        if changes and occupant is not None and changes[0].new is not None:
            changes[:0] = self._make_room(occupant, changes[0].new)
        self.told = xid if changes else self.told
        return changes

    def _wait(self, xid: int) -> None:
        """What is streamed is visible a moment later: until then the catalogue does not show its changes. Whoever waits
        for a standby longer is not waited for: what cannot be told is loaded again."""
        for _ in range(100):
            if not running(self._asker, xid):
                return
            time.sleep(0.01)

    def announced(self, content: bytes, carried: Sequence[Table], xid: int) -> list[SchemaChange]:
        """What a message of the source's own says of these tables. Whoever may write into the log could have written
        it: it is believed where the catalogue shows that the table was touched."""
        if self._loose:
            return []
        try:
            said = read(self._asker, content)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("a message with our prefix is none of ours", prefix=PREFIX, why=str(error))
            return []
        self._wait(xid)
        found = []
        for known in carried:
            if not said.about(known):
                continue
            now = self._now(known.oid)
            if now is not None and (known.oid in said.dropped or not _touched(known, now)):
                log.warning("a change was announced that the catalogue does not show", table=known.id)
            elif (change := self._said(said, known, now)) is not None:
                found.append(change)
        self.told = xid if found else self.told
        return found

    def _said(self, said: Announcement, known: Table, now: Table | None) -> SchemaChange | None:
        """A table whose values are rewritten is loaded again, and so is one of which a partition came or went with
        rows."""
        if known.oid in said.dropped:
            return SchemaChange(known, None)
        again = SchemaChange(known, _marked(known, now or known), reload=True)
        here = next((table for table in said.tables if table.oid == known.oid), None)
        if here is None:
            return again
        moved, other = leaves_moved(known.leaves, here.leaves)
        here = self._trusted(here, known, now)
        change = become(known, replace(here, mark=known.mark))
        if moved or (change is not None and change.reload):
            return again
        return SchemaChange(known, replace(here, version=known.version + 1)) if change is not None or other else None

    def _trusted(self, here: Table, known: Table, now: Table | None) -> Table:
        """The table with the texts that the catalogue has for its columns, if of another time: what is of no use to
        rows that come is as it is now."""
        wanted = [(column.type_id, -1 if column.typmod is None else column.typmod) for column in here.columns]
        natives = self._asker.ask(_NATIVES, [type for type, _ in wanted], [typmod for _, typmod in wanted])
        texts = {column.ident: column for table in (known, now) if table is not None for column in table.columns}
        left_out = {column.ident for column in known.columns if column.left_out}
        columns = []
        for column, (native,) in zip(here.columns, natives, strict=True):
            like = texts.get(column.ident)
            if like is None and column.generated is not None:
                continue  # gone since, and never sent
            if like is not None:
                column = replace(
                    column, default=like.default, generated=like.generated if column.generated else None,
                    identity=like.identity, collation=like.collation, equality=like.equality,
                )  # fmt: skip
            else:
                column = replace(column, default=None, identity=None, collation=None)
            columns.append(replace(column, native=native, left_out=column.ident in left_out))
        names = {column.name for column in columns}
        key, primary = (tuple(name for name in its if name in names) for its in (here.key, here.primary))
        return replace(here, columns=tuple(columns), key=key, primary=primary)

    def _face(self, oid: int) -> str | None:
        rows = self._asker.ask(_FACE, oid)
        return str(rows[0][0]) if rows else None

    def _changes(self, seen: Relation, known: Table, same: bool) -> list[SchemaChange]:
        now = self._now(seen.oid)
        if now is None:
            # Dropped later: as long as its rows come as they did, they are carried.
            return [] if same else [SchemaChange(known, None)]
        if seen.oid != known.oid:
            if (elsewhere := self._now(known.oid)) is not None and elsewhere.id != known.id:
                return [_renamed(known, elsewhere)]
            return [SchemaChange(known, replace(now, version=known.version + 1), reload=True)]
        if not same and face(now) == face(known) and not differences(known, now):
            if is_as_known(replace(seen, schema=known.schema, name=known.name), known):
                return []  # a server before 16 remembers the name that a table's schema had before
            raise SchemaChanged(
                f"the stream does not send {known.id} as the catalogue has it",
                why=f"it sends the columns {', '.join(column.name for column in seen.columns)}",
                hint="take column lists out of the publication, or leave the table out",
                table=known.id,
            )
        at = table_at(seen, known, now)
        if at is None:
            log.info("what changed cannot be told from the stream", table=known.id)
            return [SchemaChange(known, _unknown(now, known), reload=True)]
        if rewritten(known, now):
            return [SchemaChange(known, at, reload=True)]
        return [SchemaChange(known, at)] if differences(known, at) else []

    def _now(self, oid: int) -> Table | None:
        with self._asker.connection() as connection:
            return next(iter(read_tables(connection, oids=[oid])), None)

    def _loosely(self, seen: Relation, known: Table) -> Table:
        """What the message says and no more: there is no table to be altered."""
        wanted = [column.type_id for column in seen.columns], [column.typmod for column in seen.columns]
        natives = zip(seen.columns, self._asker.ask(_NATIVES, *wanted), strict=True)
        nothing = (None, False, None, None, True, None, "")
        columns = [
            [seen.oid, column.name, number, column.type_id, column.typmod, native, False, *nothing]
            for number, (column, (native,)) in enumerate(natives, 1)
        ]
        flagged = [column.name for column in seen.columns if column.key]
        named = known.key if seen.identity == "f" or set(known.key) == set(flagged) else flagged
        names = {column.name for column in seen.columns}
        key = [name for name in named if name in names] if set(named) <= names else []
        row = [seen.oid, seen.schema, seen.name, False, seen.identity, 0, 0, key, key, [], None, False, 0, ""]
        with self._asker.connection() as connection:
            for table in described(connection, [row], columns):
                return replace(table, version=known.version + 1)
        raise SchemaChanged(
            f"a type of {known.id} is not known any more",
            why="it was dropped: the catalogue does not have a type that the stream sends",
            hint="begin anew with another slot",
            table=known.id,
        )

    def _make_room(self, occupant: Table, table: Table) -> list[SchemaChange]:
        """The table that had the name before: it is called something else now, or is gone."""
        now = self._now(occupant.oid)
        if now is None:
            return [SchemaChange(occupant, None)]
        if now.id == table.id:
            raise SchemaChanged(
                f"two tables have changed their names to {table.id} in turn",
                why="only the last of several changes can be seen now",
                hint="run with --on-schema-change apply after renaming them at the target, or begin a new pipeline",
                table=table.id,
            )
        return [_renamed(occupant, now)]


def _touched(known: Table, now: Table) -> bool:
    return face(now) != face(known) or bool(differences(known, now)) or now.leaves != known.leaves


def _unknown(table: Table, known: Table) -> Table:
    """What it is by now, but how it became that is not known."""
    columns = tuple(replace(column, mark="") for column in table.columns)
    return replace(table, columns=columns, mark="", version=known.version + 1)


def _marked(known: Table, now: Table) -> Table:
    """What it was, with the files and the marks that it has by now."""
    marks = {column.ident: column.mark for column in now.columns}
    columns = tuple(replace(column, mark=marks.get(column.ident, "")) for column in known.columns)
    return replace(known, columns=columns, mark=now.mark, leaves=now.leaves, version=known.version + 1)


def _renamed(table: Table, now: Table) -> SchemaChange:
    return SchemaChange(table, replace(table, schema=now.schema, name=now.name, version=table.version + 1))


def running(asker: Asker, xid: int) -> bool:
    """Whether the transaction has not ended, for others to see what it did. It holds its own lock as long."""
    return bool(asker.ask(_RUNNING, str(xid)))


Looks = Callable[[Relation, Table, Table | None, int], list[SchemaChange]]
Announced = Callable[[bytes, Sequence[Table], int], list[SchemaChange]]
