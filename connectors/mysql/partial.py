"""Updates of which the log has, for documents, only what changed (binlog_row_value_options = PARTIAL_JSON): made into
the whole updates that they mean ("Partial_update_rows_event" in the binlog API's reference, sql/rpl_record.cc)."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.errors import Stopped
from cdcd.model.table import Table
from connectors.mysql.fields import Cell
from connectors.mysql.json_diff import changed_document
from connectors.mysql.malformed import malformed
from connectors.mysql.tablemap import JSON, Slot, length, present

_PARTIAL_JSON = 1
"""Of a row's value options: a bitmap follows that has one bit for each document of the table."""


class WholeUpdate:
    """Rows of one table in one layout."""

    def __init__(self, table: Table, cells: Sequence[Cell], slots: Sequence[Slot]) -> None:
        self._table = table
        self._cells = cells
        self._documents = [number for number, slot in enumerate(slots) if slot.type == JSON]

    def of(self, data: bytes, at: int) -> bytes:
        """What an update event holds from its number of columns on, of the same of a partial one, from `at` to the
        end. Stopped where a document's difference is in the log, and the document is not."""
        begun = at
        count, at = length(data, at)
        if count != len(self._cells):
            raise malformed(f"rows of {self._table.id} have {count} columns, their table map {len(self._cells)}")
        size = (count + 7) // 8
        old, new = (present(data[at + n * size : at + n * size + size], count) for n in (0, 1))
        at += 2 * size
        made = bytearray(data[begun:at])
        while at < len(data):
            start = at
            before, at = self._values(data, at, old)
            made += data[start:at]
            options, at = length(data, at)
            differ = set()
            if options & _PARTIAL_JSON:
                wide = (len(self._documents) + 7) // 8
                differ = {self._documents[n] for n in present(data[at : at + wide], len(self._documents))}
                at += wide
            start = at
            after, at = self._values(data, at, new)
            made += data[start : start + (len(new) + 7) // 8]
            for number in new:
                if (value := after.get(number)) is None:
                    continue
                if number in differ:
                    prefix = self._cells[number].prefix
                    document = self._changed(number, before.get(number), value[prefix:])
                    value = len(document).to_bytes(prefix, "little") + document
                made += value
        if at != len(data):
            raise malformed(f"rows of {self._table.id} are longer or shorter than their columns")
        return bytes(made)

    def _values(self, data: bytes, at: int, columns: Sequence[int]) -> tuple[dict[int, bytes], int]:
        """The values of an image that has these columns, but NULLs, each with its length; and its end."""
        size = (len(columns) + 7) // 8
        nulls = int.from_bytes(data[at : at + size], "little")
        at += size
        found = {}
        for place, number in enumerate(columns):
            if nulls >> place & 1:
                continue
            cell = self._cells[number]
            wide = cell.width if not cell.prefix else int.from_bytes(data[at : at + cell.prefix], "little")
            end = at + cell.prefix + wide
            if end > len(data):
                raise malformed(f"rows of {self._table.id} are shorter than their columns")
            found[number] = data[at:end]
            at = end
        return found, at

    def _changed(self, number: int, before: bytes | None, differences: bytes) -> bytes:
        cell = self._cells[number]
        if before is None:
            raise Stopped(
                f"the log has what changed in {cell.name} of {self._table.id}, and not the document that it changed",
                why="the session had binlog_row_value_options = PARTIAL_JSON, and a binlog_row_image that leaves the "
                "old document out",
                hint="SET GLOBAL binlog_row_value_options = '' (or binlog_row_image = FULL), then reload the table",
                table=self._table.id,
                column=cell.name,
            )
        try:
            return changed_document(before[cell.prefix :], differences)
        except ValueError as error:
            raise malformed(f"{cell.name} of {self._table.id}: {error}") from None
