"""TupleData of pgoutput → key and row bytes: one generated function per table ("Logical Replication Message Formats").

Three ways, each falling back to the next where a tuple does not fit it:

*fast*    binary only: one struct per run of fixed-width columns, all kinds `b`
*steady*  column by column, NULLs too
*slow*    any mix, unchanged TOAST too; the only one that names what is wrong

Names of columns never reach the generated lines: these hold positions and the sink's own expressions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from cdcd.errors import PoisonRow
from cdcd.model.cell import UNCHANGED
from cdcd.model.table import Table
from cdcd.rows import Row, RowForm, compile_function, join_expression
from connectors.postgres.cells import LONGEST_RUN, Cell, Run, cells_of, malformed
from connectors.postgres.types_wire import Filling, WireType

Slow = Callable[[bytes], bytes]

_field = struct.Struct(">ci")
_count = struct.Struct(">ch")


class TupleCode:
    """The functions of one table: `make(kind, op)` builds them, `fields` is the slow way."""

    def __init__(self, filling: Filling, types: dict[int, WireType], wants_old: bool) -> None:
        self.form: RowForm = filling.form
        self.table: Table = filling.form.table
        self.binary = filling.binary
        self.wants_old = wants_old
        self._cells, self._names = cells_of(filling, types)
        self._value = b"b" if filling.binary else b"t"
        self._back = 4 if filling.binary else 0  # a binary field keeps its length
        places = {name: place for place, name in enumerate(self.form.columns)}
        self._key = [places[name] for name in self.table.key]
        self._converters = {
            cell.place: self._converter(cell) for cell in self._cells if cell.place is not None and cell.steps
        }
        self._join = self._compile_join()
        self.bind: Callable[..., Callable[..., Any]] = self._compile_bind()
        self.image: Callable[[bytes, int], tuple[bytes, bytes, int] | None] = self._compile_image()
        self.old_key = self._compile_old_key()

    # --- the slow way ---------------------------------------------------------------------------------------------

    def fields(self, data: bytes, at: int, kind: int) -> tuple[list[Any], int]:
        """The fields of the tuple whose kind byte is at `at`, UNCHANGED among them, and where it ends."""
        if data[at] != kind or _count.unpack_from(data, at)[1] != len(self._cells):
            raise malformed(f"a tuple of {self.table.id} has another kind or number of columns")
        fields: list[Any] = [None] * len(self.form.columns)
        at += 3
        for cell in self._cells:
            mark, length = _field.unpack_from(data, at)
            if length >= 0 and (mark == self._value or (cell.place is None and mark in b"bt")):
                at += 5 + length
                value: Any = data[at - length - self._back : at]
                if cell.place in self._converters:
                    value = self._converters[cell.place](value)
            elif mark == b"n":
                at += 1
                value = self.form.layout.null
            elif mark == b"u":
                at += 1
                value = UNCHANGED
            else:
                raise malformed(f"a value of {self.table.id} is of the kind {mark!r}")
            if cell.place is not None:
                fields[cell.place] = value
        return fields, at

    def key_of(self, fields: Sequence[Any]) -> bytes:
        """The key's bytes; of a keyless table, the row's."""
        if not self._key:
            return self.joined(fields)
        parts = [fields[place] for place in self._key]
        if UNCHANGED in parts:
            raise malformed(f"the key of a row of {self.table.id} was not sent")
        return self.form.layout.between.join(parts)

    def row_of(self, fields: list[Any]) -> Row:
        return tuple(fields) if UNCHANGED in fields else self.joined(fields)

    def joined(self, fields: Sequence[Any]) -> bytes:
        """The row of fields that are all there."""
        if UNCHANGED in fields:
            raise malformed(f"a whole row of {self.table.id} was not sent whole")
        return self._join(*fields)

    def merged(self, fields: list[Any], old: list[Any], whole: bool) -> list[Any]:
        """Unchanged cells from the old row: all of them, or those of the key, which is all that was sent of it."""
        known = range(len(fields)) if whole else self._key
        return [old[i] if field is UNCHANGED and i in known else field for i, field in enumerate(fields)]

    def _converter(self, cell: Cell) -> Callable[[bytes], bytes]:
        lines = ["def convert(v):", *(f"    v = {step}" for step in cell.steps), "    return v"]
        convert, table, name = compile_function("convert", lines, self._names), self.table.id, cell.name

        def checked(value: bytes) -> bytes:
            try:
                return convert(value)  # type: ignore[no-any-return]
            except ValueError as error:
                raise PoisonRow(
                    "a value cannot be written in the target's form",
                    why=str(error),
                    table=table,
                    column=name,
                    value=repr(value[:100]),
                ) from error

        return checked

    def converter(self, place: int) -> Callable[[bytes], bytes]:
        """What makes the field at `place` of a value."""
        return self._converters.get(place, bytes)

    # --- generated ------------------------------------------------------------------------------------------------

    def _compile_join(self) -> Callable[..., bytes]:
        fields = [f"f{place}" for place in range(len(self.form.columns))]
        expression, names = join_expression(self.form.layout, fields)
        return compile_function("join", [f"def join({', '.join(fields)}):", f"    return {expression}"], names)

    def compile_lines(self, end: bytes) -> Callable[[Sequence[bytes], Callable[[bytes], None], Slow], None]:
        """rows(lines, put, slow): the row of each line of COPY's text, `end` behind it. A line that has NULLs or
        escapes, or a value that the sink cannot write, goes by `slow(line)`, which tells."""
        row, used = join_expression(self.form.layout, self._field_names)
        body = [f"{', '.join(self._field_names)}, = line.split(b'\\t')"]
        for cell in self._cells:
            if cell.place is not None and cell.steps:
                body += [f"v = f{cell.place}", *(f"v = {step}" for step in cell.steps), f"f{cell.place} = v"]
        lines = [
            "def rows(lines, put, slow):",
            "    for line in lines:",
            "        if b'\\\\' in line:",
            "            put(slow(line))",
            "            continue",
            "        try:",
            *("            " + line for line in body),
            f"            row = {row}{' + _end' if end else ''}",
            "        except ValueError:",
            "            row = slow(line)",
            "        put(row)",
        ]
        return compile_function("rows", lines, {**self._names, **used, "_end": end})

    def _compile_bind(self) -> Callable[..., Callable[..., Any]]:
        """bind(ops, keys, rows, olds, mark, log, slow) → change(data, at, end, op): appends the tuple that begins
        at `at` and must end at `end`, as one change; `slow(data, at, end, op)` takes what generated code does not."""
        lines = ["def bind(ops, keys, rows, olds, mark, log, slow):"]
        ways = ["fast", "steady"] if any(cell.width for cell in self._cells) else ["steady"]
        for way, other in zip(reversed(ways), ["slow", *reversed(ways)], strict=False):
            bail = f"return {other}(data, at, end, op)"
            tuple_lines = self._fast(bail) if way == "fast" else self._steady(bail)
            row, _ = join_expression(self.form.layout, self._field_names)
            body = [*tuple_lines, "if q != end:", "    " + bail, *self._keyed(row)]
            if any(cell.steps for cell in self._cells):
                # What the sink cannot write is told by the slow way, by its column.
                body = ["try:", *("    " + line for line in body), "except ValueError:", "    " + bail]
            body += ["ops(op)", "keys(key)", "rows(row)", "mark(log)"]
            if self.wants_old:
                body.append("olds(None)")
            lines += [f"    def {way}(data, at, end, op):", *("        " + line for line in body)]
        lines.append(f"    return {ways[0]}")
        return compile_function("bind", lines, self._globals())

    def _compile_image(self) -> Callable[[bytes, int], tuple[bytes, bytes, int] | None]:
        """image(data, at) → (key, row, end) of any tuple; None where a cell is unchanged or a step refuses it."""
        row, _ = join_expression(self.form.layout, self._field_names)
        body = [*self._steady("return None", any_kind=True), *self._keyed(row)]
        if any(cell.steps for cell in self._cells):
            body = ["try:", *("    " + line for line in body), "except ValueError:", "    return None"]
        body.append("return key, row, q")
        return compile_function("image", ["def image(data, at):", *("    " + x for x in body)], self._globals())

    def _compile_old_key(self) -> Callable[[bytes, int, int], bytes | None]:
        """old_key(data, at, end) → the key of the usual tuple of a Delete: kind K, the key's values and nothing else;
        None where it is anything else, which `image` takes."""
        if not self._key:
            return lambda data, at, end: None
        lines = ["if data[at : at + 3] != _old_key:", "    return None", "q = at + 3"]
        absent = 0
        for cell in self._cells:
            if cell.place not in self._key:
                absent += 1
                continue
            lines += [*self._skip_absent(absent), "k, n = _field(data, q)", "if k != _value:", "    return None"]
            start = f"a - {self._back}" if self._back else "a"
            lines += ["a = q + 5", "q = a + n", f"f{cell.place} = data[{start}:q]", *self._converted(cell)]
            absent = 0
        lines += [*self._skip_absent(absent), "if q != end:", "    return None"]
        key = [f"f{place}" for place in self._key]
        lines.append(f"return {key[0]}" if len(key) == 1 else f"return _key_join(({', '.join(key)},))")
        if any(cell.steps for cell in self._cells):
            lines = ["try:", *("    " + line for line in lines), "except ValueError:", "    return None"]
        body = ["def old_key(data, at, end):", *("    " + line for line in lines)]
        return compile_function("old_key", body, self._globals())

    @staticmethod
    def _skip_absent(count: int) -> list[str]:
        """Columns that are not of the key are sent as NULL, a byte each."""
        return [f"if data[q : q + {count}] != {b'n' * count!r}:", "    return None", f"q += {count}"] if count else []

    @property
    def _field_names(self) -> list[str]:
        return [f"f{place}" for place in range(len(self.form.columns))]

    def _globals(self) -> dict[str, Any]:
        _, names = join_expression(self.form.layout, self._field_names)
        ours = {
            "_tuple": b"N" + len(self._cells).to_bytes(2, "big"),
            "_old_key": b"K" + len(self._cells).to_bytes(2, "big"),
            "_columns": len(self._cells).to_bytes(2, "big"),
            "_value": self._value,
            "_null": self.form.layout.null,
            "_field": _field.unpack_from,
            "_head_new": struct.Struct(">3sci").unpack_from,
            "_head_any": struct.Struct(">x2sci").unpack_from,
            "_key_join": self.form.layout.between.join,
        }
        runs = {f"_run{i}": struct.Struct(run.format).unpack_from for i, run in enumerate(self._runs())}
        return {**self._names, **names, **ours, **runs}

    def _keyed(self, row: str) -> list[str]:
        lines = [f"row = {row}"]
        if not self._key:
            return [*lines, "key = row"]
        if len(self._key) == 1:
            return [*lines, f"key = f{self._key[0]}"]
        return [*lines, f"key = _key_join(({', '.join(f'f{place}' for place in self._key)},))"]

    def _converted(self, cell: Cell) -> list[str]:
        """Lines that make the field of a value; a NULL's field does not come here."""
        if cell.place is None or not cell.steps:
            return []
        field = f"f{cell.place}"
        return [f"v = {field}", *(f"v = {step}" for step in cell.steps), f"{field} = v"]

    def _steady(self, bail: str, any_kind: bool = False) -> list[str]:
        """Column by column; `q` is the end."""
        head, expected = ("_head_any", "_columns") if any_kind else ("_head_new", "_tuple")
        start = f"a - {self._back}" if self._back else "a"
        lines = [f"head, k, n = {head}(data, at)", f"if head != {expected}:", "    " + bail, "q = at + 3"]
        for number, cell in enumerate(self._cells):
            value, null = ["a = q + 5", "q = a + n"], ["q += 1"]
            if cell.place is not None:
                value += [f"f{cell.place} = data[{start}:q]", *self._converted(cell)]
                null.append(f"f{cell.place} = _null")
            lines += ["k, n = _field(data, q)"] if number else []
            lines += ["if k == _value:", *("    " + line for line in value)]
            lines += ["elif k == b'n':", *("    " + line for line in null), "else:", "    " + bail]
        return lines

    def _runs(self) -> list[Run]:
        runs = [Run(">3s", 3)]
        for cell in self._cells:
            runs[-1].add(cell)
            # No run is longer than what follows the last frame, so that unpacking never leaves the buffer.
            if cell.width is None or runs[-1].size > LONGEST_RUN:
                runs.append(Run(">", 0))
        return runs if runs[-1].cells else runs[:-1]

    def _fast(self, bail: str) -> list[str]:
        """Run by run: fixed-width columns, then the length of the varying one that ends it."""
        lines, q = [], "at"
        for number, run in enumerate(self._runs()):
            kinds = [f"k{i}" for i in range(len(run.cells))]
            targets, tests = (["head"], ["head != _tuple"]) if number == 0 else ([], [])
            for kind, cell in zip(kinds, run.cells, strict=True):
                targets.append(kind)
                if cell.width is None:
                    targets.append("n")
                elif cell.place is not None:
                    targets.append(f"f{cell.place}")
            if kinds:
                tests.append(f"not ({' == '.join([*kinds, '_value'])})")
            lines.append(f"{', '.join(targets)}, = _run{number}(data, {q})")
            lines += [f"if {' or '.join(tests)}:", "    " + bail]
            last = run.cells[-1] if run.cells else None
            if last is not None and last.width is None:
                lines += [f"a = {q} + {run.size}", "q = a + n"]
                if last.place is not None:
                    lines.append(f"f{last.place} = data[a - 4 : q]")
            else:
                lines.append(f"q = {q} + {run.size}")
            q = "q"
        for cell in self._cells:
            lines += self._converted(cell)
        return lines
