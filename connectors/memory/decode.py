"""From a transaction of the log to the entries of a group."""

from __future__ import annotations

from collections.abc import Collection

from cdcd.errors import SchemaChanged
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, Group, Truncate
from connectors.memory.encode import Encoder, Wire, same_shape
from connectors.memory.log import Changed, Record, Truncated
from connectors.memory.order import Values

OUT_OF_LINE = 12
"""A value longer than this is kept out of line: an update that leaves it alone does not send it (TOAST)."""


class Decoder:
    """The tables carried, and the row behind each key that was brought, for Source.locate. A real source reads the key
    bytes back, or asks its server, as it cannot remember them all."""

    def __init__(self, old_rows: bool) -> None:
        self.encoders: dict[str, Encoder] = {}
        self.keys: dict[tuple[str, bytes], Values] = {}
        self._old_rows = old_rows

    def decode(self, record: Record, published: Collection[str], group: Group) -> None:
        """Append what the record says of tables that are carried and published."""
        match record:
            case Changed(table, old, new) if table.id in published and table.id in self.encoders:
                encoder = self.encoders[table.id]
                if not same_shape(table, encoder.table):
                    raise SchemaChanged(
                        f"the columns of {table.id} changed at the source",
                        why="its rows no longer fit the table that the target was made for",
                        hint="alter the target in the same way, or `cdcd reload` the table",
                        table=table.id,
                    )
                self._row(encoder, old, new, group)
            case Truncated(names):
                carried = [name for name in names if name in published and name in self.encoders]
                if carried:
                    group.truncate(Truncate([self.encoders[name].table for name in carried], False, False))
            case _:
                pass

    def _row(self, encoder: Encoder, old: Values | None, new: Values | None, group: Group) -> None:
        rows = group.rows()
        log = rows.log(encoder.table, encoder.form)
        if old is None:
            assert new is not None
            log.ops.append(INSERT)
            log.keys.append(self._key(encoder, new))
            log.rows.append(encoder.row(new))
        elif new is None:
            log.ops.append(DELETE)
            log.keys.append(self._key(encoder, old))
            log.rows.append(None)
        else:
            self._update(encoder, old, new, group)
        if self._old_rows:
            whole = old is not None and (encoder.table.full or not encoder.table.key)
            log.olds.append(encoder.whole(old) if whole and old is not None else None)
        rows.order.append(log)
        group.changes += 1
        group.bytes += sum(len(value or "") for value in new or old or ()) + 8

    def _update(self, encoder: Encoder, old: Values, new: Values, group: Group) -> None:
        log = group.rows().log(encoder.table, encoder.form)
        old_key, new_key = self._key(encoder, old), self._key(encoder, new)
        row = encoder.row(_sent(encoder, old, new))
        log.keys.append(old_key)
        if old_key == new_key and encoder.table.key:
            log.ops.append(UPDATE)
            log.rows.append(row)
        else:
            log.ops.append(MOVE)
            log.rows.append((new_key, row))

    def _key(self, encoder: Encoder, row: Values) -> bytes:
        key = encoder.key(row)
        self.keys[encoder.table.id, key] = row
        return key


def _sent(encoder: Encoder, old: Values, new: Values) -> Wire:
    """The new row as an update sends it: values out of line only where they changed. Where the whole old row
    comes along nothing is missing, as what is not sent can be taken from it."""
    table = encoder.table
    if table.full or not table.key:
        return new
    return [
        UNCHANGED
        if before == after and after is not None and len(after) > OUT_OF_LINE and column.name not in table.key
        else after
        for column, before, after in zip(table.columns, old, new, strict=True)
    ]
