"""Row images → key and row bytes: generated functions per table that take a whole rows event ("Rows_event" in the
binlog API's reference). An event is the number of columns, a bitmap of those present (two for updates), then rows; a
row is a bitmap of its NULLs and the values of what is present and not NULL.

Full images are decoded by one loop per kind of event, without a call, test or look-up per value: a struct per run of
columns of fixed width where nothing is NULL, column by column where something is. Whatever else comes (images that
leave columns out, a value that the sink cannot write) takes the slow way, column after column.

Names of columns never reach the generated lines: these hold positions and the offered expressions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cdcd.errors import Stopped
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, TableLog
from cdcd.model.table import Column, Table
from cdcd.rows import RowForm, compile_function, join_expression
from connectors.mysql.binary import packer
from connectors.mysql.constants import Unsure
from connectors.mysql.fields import Cell, Filling, cells
from connectors.mysql.malformed import malformed
from connectors.mysql.omitted import default_field
from connectors.mysql.partial import WholeUpdate
from connectors.mysql.period import CURRENT, is_end
from connectors.mysql.refused import refused
from connectors.mysql.tablemap import Slot, length, present

Event = Callable[[bytes, int, int], None]
"""event(data, at, end): rows that begin with their number of columns at `at` and must end at `end`."""

_PREFIX = {1: "B", 2: "H", 3: "3s", 4: "I"}
_V = re.compile(r"\bv\b")


class ImageCode:
    """The functions of one table in one layout."""

    def __init__(self, filling: Filling, slots: Sequence[Slot], wants_old: bool) -> None:
        self.form: RowForm = filling.form
        self.table: Table = filling.form.table
        self._filling = filling
        self._defaults: dict[str, bytes] = {}
        self._wants_old = wants_old
        self._cells = cells(filling, slots)
        self._versioned = any(map(is_end, self.table.columns))
        if self._versioned:  # when a row ended is read beside its fields
            ends = zip(self._cells, self.table.columns, strict=True)
            last = len(self.form.columns)
            self._cells = [replace(cell, place=last) if is_end(column) else cell for cell, column in ends]
        self.whole_update = WholeUpdate(self.table, self._cells, slots).of
        self._size = (len(slots) + 7) // 8
        self._names = dict(filling.names)
        places = {name: place for place, name in enumerate(self.form.columns)}
        self._key = [places[name] for name in self.table.key]
        self._fields = {
            tuple(range(len(slots))): self._compile_fields(range(len(slots))),
        }
        self._join = self._compile_join()
        if not self._versioned:
            self._bind: Callable[..., tuple[Event, Event, Event]] = self._compile_bind()

    def bind(self, log: TableLog, order: list[TableLog]) -> tuple[Event, Event, Event]:
        """What appends the rows of a Write, an Update and a Delete event to the table's log."""

        def slow(op: int) -> Event:
            return lambda data, at, end: self._slow(op, log, order, data, at, end)

        if self._versioned:
            return slow(INSERT), slow(UPDATE), slow(DELETE)
        return self._bind(
            log.ops, log.keys, log.rows, log.olds, order, log, slow(INSERT), slow(UPDATE), slow(DELETE),
            self._refuse, self._cut,
        )  # fmt: skip

    # --- the slow way ---------------------------------------------------------------------------------------------

    def _slow(self, op: int, log: TableLog, order: list[TableLog], data: bytes, at: int, end: int) -> None:
        count, at = length(data, at)
        if count != len(self._cells):
            raise malformed(f"rows of {self.table.id} have {count} columns, their table map {len(self._cells)}")
        first = self._present(data, at)
        at += self._size
        second = first
        if op == UPDATE:
            second = self._present(data, at)
            at += self._size
        while at < end:
            old: list[Any] = []
            new: list[Any] = []
            if op != INSERT:
                old, at = self._image(first)(data, at)
            if op != DELETE:
                new, at = self._image(second)(data, at)
            if at > end:
                break
            made = self._of_current(op, old, new) if self._versioned else op
            if made is not None:
                self._append(made, log, old, new)
                order.append(log)
        if at != end:
            raise self._cut()

    def _of_current(self, op: int, old: list[Any], new: list[Any]) -> int | None:
        """What a change of a versioned table is to its current rows, None: nothing. Takes the rows' ends off."""
        was, now = (image.pop() if image else UNCHANGED for image in (old, new))
        if op == DELETE and was is UNCHANGED:
            raise Stopped(
                f"a row of {self.table.id} was deleted, and the log does not say whether it was one of its history",
                hint="SET GLOBAL binlog_row_image = FULL, then cdcd reload the table",
                table=self.table.id,
            )
        if was is not UNCHANGED and was not in CURRENT:
            return None
        if now is UNCHANGED or now in CURRENT:
            return op
        return DELETE if op == UPDATE else None

    def _present(self, data: bytes, at: int) -> tuple[int, ...]:
        return tuple(present(data[at : at + self._size], len(self._cells)))

    def _image(self, columns: tuple[int, ...]) -> Callable[[bytes, int], tuple[list[Any], int]]:
        if columns not in self._fields:
            self._fields[columns] = self._compile_fields(columns)
        return self._fields[columns]

    def _append(self, op: int, log: TableLog, old: list[Any], new: list[Any]) -> None:
        if op == INSERT:
            new = self._defaulted(new)
            log.ops.append(INSERT)
            log.keys.append(self._key_of(new))
            log.rows.append(self._join(*new))
        elif op == DELETE:
            log.ops.append(DELETE)
            log.keys.append(self._key_of(old))
            log.rows.append(None)
        else:
            new = [before if cell is UNCHANGED else cell for cell, before in zip(new, old, strict=True)]
            key, was = self._key_of(new), self._key_of(old)
            row = tuple(new) if UNCHANGED in new else self._join(*new)
            moves = key != was or not self._key
            log.ops.append(MOVE if moves else UPDATE)
            log.keys.append(was)
            log.rows.append((key, row) if moves else row)
        if self._wants_old:
            log.olds.append(None if op == INSERT or UNCHANGED in old else self._join(*old))

    def _defaulted(self, fields: list[Any]) -> list[Any]:
        """A row that was inserted without some columns: they took their default."""
        if UNCHANGED not in fields:
            return fields
        by_name = {column.name: column for column in self.table.columns}
        for name, field in zip(self.form.columns, fields, strict=True):
            if field is UNCHANGED and name not in self._defaults:
                self._defaults[name] = self._default_of(by_name[name])
        pairs = zip(self.form.columns, fields, strict=True)
        return [self._defaults[name] if field is UNCHANGED else field for name, field in pairs]

    def _default_of(self, column: Column) -> bytes:
        try:
            return default_field(self._filling, column)
        except Unsure as error:
            raise Stopped(
                f"a row of {self.table.id} was inserted without a value for {column.name}, which is not in the log",
                why=f"binlog_row_image leaves out columns that take their default: {error}",
                hint="SET GLOBAL binlog_row_image = FULL (or NOBLOB), then cdcd reload the table",
                table=self.table.id,
                column=column.name,
            ) from None
        except ValueError as error:
            raise refused(self.table, column.name, error) from error

    def _key_of(self, fields: Sequence[Any]) -> bytes:
        """The key's bytes; of a keyless table, the row's."""
        parts = [fields[place] for place in self._key] if self._key else fields
        if UNCHANGED in parts:
            raise Stopped(
                f"a change of {self.table.id} does not name its row",
                why="the log has neither the key's columns nor, without a key, the whole row",
                hint="SET GLOBAL binlog_row_image = FULL, then cdcd reload the table",
                table=self.table.id,
            )
        return self.form.layout.between.join(parts) if self._key else self._join(*parts)

    def _refuse(self, data: bytes, at: int, second: bool) -> None:
        """Some value of the row at `at` (of an update's new image: `second`) was refused: say which."""
        everything = tuple(range(len(self._cells)))
        _, at = self._image(everything)(data, at)
        if second:
            self._image(everything)(data, at)
        raise malformed(f"a value of {self.table.id} was refused, and by no column")

    def _cut(self) -> Stopped:
        return malformed(f"rows of {self.table.id} are longer or shorter than their columns", table=self.table.id)

    # --- generated ------------------------------------------------------------------------------------------------

    def _compile_join(self) -> Callable[..., bytes]:
        fields = [f"f{place}" for place in range(len(self.form.columns))]
        expression, names = join_expression(self.form.layout, fields)
        return compile_function("join", [f"def join({', '.join(fields)}):", f"    return {expression}"], names)

    def _compile_fields(self, columns: Sequence[int]) -> Callable[[bytes, int], tuple[list[Any], int]]:
        """fields(data, q) → (fields of an image that has these columns, its end); what a step refuses is named."""
        some = [self._cells[number] for number in columns]
        size = (len(some) + 7) // 8
        count = len(self.form.columns) + self._versioned
        lines = ["def fields(data, q):", f"    found = [UNCHANGED] * {count}"]
        lines += [f"    nulls = number(data[q : q + {size}], 'little')", f"    q += {size}"]
        for number, cell in enumerate(some):
            body = self._value(cell, number)
            if cell.place is not None:
                lines.append(f"    if nulls & {1 << number}:")
                lines.append(f"        found[{cell.place}] = null")
                lines.append("    else:")
                body += [f"found[{cell.place}] = take{number}(r)"]
            else:
                lines.append(f"    if not nulls & {1 << number}:")
            lines += ["        " + line for line in body]
        lines.append("    return found, q")
        names: dict[str, Any] = {
            "UNCHANGED": UNCHANGED, "null": self.form.layout.null, "number": int.from_bytes, "cut": self._cut,
        }  # fmt: skip
        for number, cell in enumerate(some):
            names[f"take{number}"] = self._taker(cell)
            names[f"s{number}"] = struct.Struct("<" + (cell.code or _PREFIX[cell.prefix])).unpack_from
        return compile_function("fields", lines, names)

    @staticmethod
    def _value(cell: Cell, number: int) -> list[str]:
        """Lines that read the raw value at `q` into `r`."""
        if not cell.prefix:
            return [f"r, = s{number}(data, q)", f"q += {cell.width}"]
        size = "n = number(n, 'little')" if cell.prefix == 3 else "pass"
        return [
            f"n, = s{number}(data, q)", size, f"q += {cell.prefix}", "r = data[q : q + n]",
            "if len(r) != n: raise cut()", "q += n",
        ]  # fmt: skip

    def _taker(self, cell: Cell) -> Callable[[Any], bytes]:
        lines = ["def take(v):", *(f"    v = {step}" for step in cell.steps), "    return v"]
        take, table, name = compile_function("take", lines, self._names), self.table, cell.name

        def checked(value: Any) -> bytes:
            try:
                return take(value)  # type: ignore[no-any-return]
            except ValueError as error:
                raise refused(table, name, error) from error

        return checked

    def _compile_bind(self) -> Callable[..., tuple[Event, Event, Event]]:
        every = list(range(len(self.form.columns)))
        whole_old = self._wants_old or not self._key
        wanted = every if whole_old else self._key
        old, names = self._decode("o", wanted, "was" if whole_old else "")
        new, more = self._decode("f", every, "row")
        old_key = self._keyed("o", "was")
        olds = ["    olds.extend([None] * count)"] if self._wants_old else []
        lines = ["def bind(ops, keys, rows, olds, order, log, slow_write, slow_update, slow_delete, refuse, cut):"]
        lines += ["    put, name, mark = rows.append, keys.append, ops.append"]
        lines += self._loop(
            "write", 1, "slow_write", False,
            [*new, f"name({self._keyed('f', 'row')})", "put(row)"],
            ["    ops.extend(b'I' * count)", *olds],
        )  # fmt: skip
        same = [f"mark({MOVE})", "put((key, row))"]
        if self._key:
            move = ["    " + line for line in same]
            same = ["if key == old:", f"    mark({UPDATE})", "    put(row)", "else:", *move]
        lines += self._loop(
            "update", 2, "slow_update", True,
            [*old, f"old = {old_key}", "second = True", *new, f"key = {self._keyed('f', 'row')}",
             *same, "name(old)", *(["olds.append(was)"] if self._wants_old else [])],
            [],
        )  # fmt: skip
        lines += self._loop(
            "delete", 1, "slow_delete", False,
            [*old, f"name({old_key})", *(["olds.append(was)"] if self._wants_old else [])],
            ["    ops.extend(b'D' * count)", "    rows.extend([None] * count)"],
        )  # fmt: skip
        lines.append("    return write, update, delete")
        return compile_function("bind", lines, {**self._names, **names, **more, **self._globals(old, new)})

    def _loop(self, name: str, bitmaps: int, slow: str, tells: bool, row: list[str], after: list[str]) -> list[str]:
        """The function of one kind of event: all its rows, in full images."""
        size = len(self._heads(bitmaps)[0])
        lines = [
            f"def {name}(data, q, end):",
            f"    if data[q : q + {size}] not in _heads{bitmaps}:",
            f"        return {slow}(data, q, end)",
            f"    q += {size}",
            "    before = len(keys)",
            "    try:",
            "        while q < end:",
            "            at = q",
            *(["            second = False"] if tells else []),
            *("            " + line for line in row),
            "    except ValueError:",
            f"        refuse(data, at, {'second' if tells else 'False'})",
            "    if q != end:",
            "        raise cut()",
            "    count = len(keys) - before",
            *after,
            "    order.extend([log] * count)",
        ]
        return ["    " + line for line in lines]

    def _heads(self, bitmaps: int) -> tuple[bytes, ...]:
        """What rows events with full images begin with: MySQL sets the bits behind the last column, MariaDB doesn't."""
        count = len(self._cells)
        number = bytes([count]) if count < 251 else b"\xfc" + count.to_bytes(2, "little")
        return tuple(number + self._bitmap(0, high) * bitmaps for high in (8 * self._size, count))

    def _bitmap(self, low: int, high: int) -> bytes:
        """Bits from low to high set."""
        return ((1 << high) - (1 << low)).to_bytes(self._size, "little")

    def _keyed(self, prefix: str, row: str) -> str:
        """The expression of the key."""
        names = [f"{prefix}{place}" for place in self._key]
        if not names:
            return row
        return names[0] if len(names) == 1 else f"_key_join(({', '.join(names)},))"

    def _decode(self, prefix: str, wanted: Sequence[int], row: str) -> tuple[list[str], dict[str, Any]]:
        """Lines that decode the image at `q` into the fields PREFIX0 … and leave its end in `q`, and their names.
        `row`: the row of these is made too, and called so."""
        taken, fast = self._fast(wanted)
        fields, values = self._fields_of(prefix, taken, bool(row and self.form.layout.labels))
        steady = self._steady(prefix, wanted)
        names: dict[str, Any] = {}
        if row:
            # Where a row is one format, fields are formatted with it: of nothing NULL, that is.
            expression, names = join_expression(self.form.layout, values, f"_whole_{prefix}")
            fields.append(f"{row} = {expression}")
            expression, more = join_expression(self.form.layout, [f"{prefix}{place}" for place in wanted])
            steady.append(f"{row} = {expression}")
            names |= more
        lines = [
            f"nulls = data[q : q + {self._size}]",
            "if nulls == _none or nulls == _filled:",
            *("    " + line for line in [*fast, *fields]),
            "else:",
            *("    " + line for line in steady),
        ]
        return lines, names

    def _fast(self, wanted: Sequence[int]) -> tuple[dict[int, tuple[str, Cell]], list[str]]:
        """Nothing is NULL: run by run, the last column of each of varying width. The raw values, by their places, and
        the lines that read them."""
        lines: list[str] = []
        taken: dict[int, tuple[str, Cell]] = {}
        start, back = f"q + {self._size}", self._size
        codes, targets, size = "", [], 0
        for number, cell in enumerate(self._cells):
            takes = cell.place is not None and cell.place in wanted
            if cell.place is not None and takes:
                taken[cell.place] = (f"r{number}", cell)
            if cell.prefix:
                codes += _PREFIX[cell.prefix]
                targets.append("n")
                lines.append(f"{', '.join(targets)}, = _s_{codes}(data, {start})")
                if cell.prefix == 3:
                    lines.append("n = _number(n, 'little')")
                lines += [f"a = q + {back + size + cell.prefix}", "q = a + n"]
                if takes:
                    lines.append(f"r{number} = data[a:q]")
                start, back, codes, targets, size = "q", 0, "", [], 0
                continue
            codes += cell.code if takes else f"{cell.width}x"
            size += cell.width
            if takes:
                targets.append(f"r{number}")
        if targets:
            lines.append(f"{', '.join(targets)}, = _s_{codes}(data, {start})")
        if size or back:
            lines.append(f"q += {back + size}")
        return taken, lines

    def _fields_of(
        self, prefix: str, taken: Mapping[int, tuple[str, Cell]], formats: bool
    ) -> tuple[list[str], list[str]]:
        """Lines that make the fields of raw values, and what a row is to be made of: their names, or where it `formats`
        them their expressions. What is packed side by side is packed at once, with the length of what follows, and is
        the first one's field; the others are empty then. It costs a third of packing each."""
        lines: list[str] = []
        expressions: dict[int, str] = {}
        run: list[str] = []
        codes = ""
        values: list[str] = []
        for place in [*sorted(taken), None]:
            raw, cell = taken[place] if place is not None else ("", None)
            made = cell.pack if cell is not None and place not in self._key else None
            if made is not None and not made.code and run:
                lines += [f"{prefix}{place} = {_V.sub(raw, made.value)}"]
                codes, values, made = codes + "i", [*values, f"len({prefix}{place})"], None
            elif made is not None and made.code:
                run.append(f"{prefix}{place}")
                codes, values = f"{codes}i{made.code}", [*values, str(made.width), _V.sub(raw, made.value)]
                continue
            elif cell is not None and place is not None:
                its, value = self._field(f"{prefix}v{place}", raw, cell.steps)
                lines += its
                if formats and place not in self._key:
                    expressions[place] = value
                else:
                    lines.append(f"{prefix}{place} = {value}")
            if run:
                lines.append(f"{run[0]} = _p_{codes}({', '.join(values)})")
                lines += [" = ".join([*run[1:], "b''"])] if run[1:] else []
                run, codes, values = [], "", []
        return lines, [expressions.get(place, f"{prefix}{place}") for place in sorted(taken)]

    def _steady(self, prefix: str, wanted: Sequence[int]) -> list[str]:
        """Column by column, as some are NULL."""
        lines = ["nulls = _number(nulls, 'little')", f"q += {self._size}"]
        for number, cell in enumerate(self._cells):
            takes = cell.place is not None and cell.place in wanted
            body = []
            if cell.prefix:
                body.append(f"n, = _s_{_PREFIX[cell.prefix]}(data, q)")
                if cell.prefix == 3:
                    body.append("n = _number(n, 'little')")
                body += [f"a = q + {cell.prefix}", "q = a + n"]
                if takes:
                    body.append(f"r{number} = data[a:q]")
            else:
                if takes:
                    body.append(f"r{number}, = _s_{cell.code}(data, q)")
                body.append(f"q += {cell.width}")
            if cell.place is not None and takes:
                its, value = self._field("v", f"r{number}", cell.steps)
                body += [*its, f"{prefix}{cell.place} = {value}"]
                lines += [f"if nulls & {1 << number}:", f"    {prefix}{cell.place} = _null", "else:"]
            else:
                lines.append(f"if not nulls & {1 << number}:")
            lines += ["    " + line for line in body]
        return lines

    @staticmethod
    def _field(name: str, raw: str, steps: tuple[str, ...]) -> tuple[list[str], str]:
        """Lines that make the field of a raw value, as far as they must be lines, and its expression then. `name`: what
        they may set."""
        lines, value = [], raw
        for step in steps:
            if not value.isidentifier() and len(_V.findall(step)) != 1:
                lines.append(f"{name} = {value}")
                value = name
            value = _V.sub(lambda _, value=value: value if value.isidentifier() else f"({value})", step)  # type: ignore[misc]
        return lines, value

    def _globals(self, *bodies: list[str]) -> dict[str, Any]:
        """What the generated lines name: each struct by its codes."""
        codes = {code for lines in bodies for line in lines for code in re.findall(r"_s_(\w+)\(", line)}
        structs = {f"_s_{code}": struct.Struct("<" + code).unpack_from for code in codes}
        packs = {code for lines in bodies for line in lines for code in re.findall(r"_p_(\w+)\(", line)}
        return {
            **structs,
            **{f"_p_{code}": packer(code) for code in packs},
            "_heads1": self._heads(1),
            "_heads2": self._heads(2),
            # The bits behind the last column's are set by MariaDB, not by MySQL.
            "_none": bytes(self._size),
            "_filled": self._bitmap(len(self._cells), 8 * self._size),
            "_null": self.form.layout.null,
            "_number": int.from_bytes,
            "_key_join": self.form.layout.between.join,
        }
