"""Rows, compiled: how a sink wants the rows of a table, and the functions a source generates to make them.

A sink offers whole-row forms, best first (`RowForm`). The source takes the first it can fill and generates one
Python function per table, from wire bytes to (key bytes, row bytes): values that both ends write alike pass
untouched, and no dispatch, type test or look-up remains per value.

Terms. A *field* is one value as the sink writes it; a *row* is `head + between.join(fields) + tail`; a *key* is
`between.join(fields of the key)` with neither head nor tail, so that a single-column key costs nothing.
A row with an UNCHANGED cell is a tuple of fields with `UNCHANGED` in it, never bytes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdcd.model.table import Table

CANONICAL = "canonical"
"""The wire form every source can give: the canonical Python value of the column's logical type."""

Fields = tuple[Any, ...]
Row = bytes | Fields


@dataclass(frozen=True, slots=True)
class Layout:
    """How fields become a row: `head + between.join(fields) + tail`; `null` is the field of a NULL.

    `labels`, where not empty, stand before the field of each column (JSON's `"name":`). `escapes`: what the expression
    `esc(v)` puts in the place of what, one after the other, for a source whose server can do that too.
    """

    head: bytes
    between: bytes
    tail: bytes
    null: bytes
    labels: tuple[bytes, ...] = ()
    escapes: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """What the sink takes for one column: wire form name → Python expression over `v`, the wire value (never NULL),
    giving the field's bytes. `"v"` means: taken as it is. Expressions may name what `RowForm.names` holds, and raise
    ValueError on what they cannot write. A wire form's name includes the session settings that make it true."""

    takes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RowForm:
    """One way in which a sink takes the rows of `table`: `fields[i]` belongs to `columns[i]`.

    `columns` are a subset of `table.carried`, in the order the sink wants them; the key's columns are among them.
    """

    name: str
    table: Table
    columns: tuple[str, ...]
    fields: tuple[Field, ...]
    layout: Layout
    names: Mapping[str, Any] = field(default_factory=dict)
    split: Callable[[bytes], Fields] | None = None
    """row bytes → its fields; None where the sink never needs it (a log that does not fold)."""

    def join(self, fields: Fields) -> bytes:
        """Fields (no UNCHANGED among them) → row bytes."""
        layout = self.layout
        return layout.head + layout.between.join(fields) + layout.tail


def compile_function(name: str, lines: Sequence[str], names: Mapping[str, Any]) -> Callable[..., Any]:
    """The function `name` defined by source `lines`, with `names` as its globals.

    Names of columns and any other text from a server are data: they come in through `names`, never in `lines`.
    """
    namespace: dict[str, Any] = dict(names)
    source = "\n".join(lines)
    exec(compile(source, f"<generated {name}>", "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


def join_expression(layout: Layout, fields: Sequence[str], pattern: str = "_pattern") -> tuple[str, dict[str, Any]]:
    """An expression that makes a row of fields, which are names or expressions, with as few pieces as the layout
    allows; and its names. `pattern`: what it may call the row's."""
    if layout.labels:
        parts = [_formatted(field) for field in fields]
        texts = [layout.head + layout.labels[0]]
        texts += [layout.between + label for label in layout.labels[1:]]
        whole = b"".join(text.replace(b"%", b"%%") + part for text, (part, _) in zip(texts, parts, strict=True))
        whole += layout.tail.replace(b"%", b"%%")
        return f"{pattern} % ({', '.join(value for _, value in parts)},)", {pattern: whole}
    if not layout.between:
        pieces = [*(["_head"] if layout.head else []), *fields, *(["_tail"] if layout.tail else [])]
        names = {"_head": layout.head, "_tail": layout.tail, "_join": b"".join}
        return f"_join(({', '.join(pieces)},))", names
    text = f"_join(({', '.join(fields)},))"
    if layout.head:
        text = f"_head + {text}"
    if layout.tail:
        text = f"{text} + _tail"
    return text, {"_head": layout.head, "_tail": layout.tail, "_join": layout.between.join}


def _formatted(field: str) -> tuple[bytes, str]:
    """A field's part of a pattern, and the value for it. One that is formatted gives its own pattern, so that this is
    done with the row at once."""
    node = ast.parse(field, mode="eval").body
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
        part = node.left.value
        if isinstance(part, bytes) and part.count(b"%") == 1 and not isinstance(node.right, ast.Tuple):
            return part, ast.unparse(node.right)
    return b"%b", field
