"""What PARTIAL_JSON logs of an updated document, done to the document as it was: binary JSON and differences in, binary
JSON out (Json_diff_vector::read_binary and apply_json_diffs in sql-common/json_diff.cc).

A difference is an operation, the text of a path, and but for a removal the new value, each text and value with its
length before it.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from connectors.mysql.jsonb import DEEPEST, INLINE, varying_length
from connectors.mysql.tablemap import length

REPLACE, INSERT, REMOVE = range(3)

_u16, _u32 = struct.Struct("<H").unpack_from, struct.Struct("<I").unpack_from
_WIDTHS = {4: 1, 5: 2, 6: 2, 7: 4, 8: 4, 9: 8, 10: 8, 11: 8}
"""Bytes of the values of one width, by kind."""
_STEP = re.compile(r"""\.(?:"((?:[^"\\]|\\.)*)"|([^.\["]+))|\[\s*(?:last(?:\s*-\s*(\d+))?|(\d+))\s*\]""", re.DOTALL)


@dataclass(slots=True)
class Scalar:
    """Neither an object nor an array: its kind, and its bytes."""

    kind: int
    data: bytes


Node = Scalar | dict[bytes, "Node"] | list["Node"]
Step = bytes | tuple[int, bool]
"""A member's name, or an element's number and whether it counts from the end."""


def changed_document(before: bytes, differences: bytes) -> bytes:
    """The document behind the differences; ValueError where they do not fit to it, or are none."""
    try:
        root = _read(before, before[0], 1, 0) if before else Scalar(4, b"\0")
        at = 0
        while at < len(differences):
            operation = differences[at]
            size, at = length(differences, at + 1)
            path = list(_steps(differences[at : at + size].decode()))
            at += size
            value: Node | None = None
            if operation != REMOVE:
                size, at = length(differences, at)
                value = _read(differences[at : at + size], differences[at], 1, 0)
                at += size
            root = _apply(root, operation, path, value)
        if at != len(differences):
            raise ValueError("a difference is cut short")
        kind, data = _write(root)
        return bytes([kind]) + data
    except (struct.error, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"no difference of JSON: {error}") from None


def _steps(path: str) -> Iterator[Step]:
    if not path.startswith("$"):
        raise ValueError("a path that does not begin with $")
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ValueError("a path that is not understood")
        at = found.end()
        quoted, bare, behind, number = found.groups()
        if quoted is not None:
            yield str(json.loads(f'"{quoted}"', strict=False)).encode()
        elif bare is not None:
            yield bare.strip().encode()
        elif number is not None:
            yield int(number), False
        else:
            yield int(behind or 0), True


def _apply(root: Node, operation: int, path: list[Step], value: Node | None) -> Node:
    """The root, which a difference of the whole document replaces."""
    if operation > REMOVE:
        raise ValueError(f"a difference of the kind {operation}")
    if not path:
        if operation != REPLACE or value is None:
            raise ValueError("the whole document is neither removed nor inserted")
        return value
    holder: list[Node] = [root]  # so that the root is an element too, as what a scalar's [0] means is itself
    parent: Node = holder
    place: int | bytes = 0
    for number, step in enumerate(path):
        its = parent[place]  # type: ignore[index]
        if isinstance(step, bytes):
            if not isinstance(its, dict):
                raise ValueError("a difference names a member of what is no object")
            parent, place = its, step
        elif isinstance(its, list):
            parent, place = its, len(its) - 1 - step[0] if step[1] else step[0]
        elif step[0] or operation == INSERT:
            raise ValueError("a difference names an element of what is no array")
        if number < len(path) - 1 and not _holds(parent, place):
            raise ValueError("a difference names what is not there")
    there = _holds(parent, place)
    if isinstance(parent, list) and operation == INSERT and isinstance(place, int) and value is not None:
        parent.insert(max(place, 0), value)
    elif there == (operation == INSERT) or (operation == REMOVE) != (value is None):
        raise ValueError("a difference does not fit to the document")
    elif value is None:
        parent.pop(place)  # type: ignore[union-attr, arg-type]
    else:
        parent[place] = value  # type: ignore[index]
    return holder[0]


def _holds(parent: Node, place: int | bytes) -> bool:
    if isinstance(parent, dict):
        return place in parent
    return isinstance(parent, list) and isinstance(place, int) and 0 <= place < len(parent)


def _read(data: bytes, kind: int, at: int, depth: int) -> Node:
    if kind > 3:
        return Scalar(kind, _scalar(data, kind, at))
    if depth > DEEPEST:
        raise ValueError("no binary JSON: too deep")
    unit, read = (4, _u32) if kind & 1 else (2, _u16)
    (count,) = read(data, at)
    if count > len(data):
        raise ValueError("no binary JSON: longer than its column")
    keys = at + 2 * unit
    values = keys + (count * (unit + 2) if kind < 2 else 0)
    nodes: list[Node] = []
    for number in range(count):
        entry = values + number * (unit + 1)
        its = data[entry]
        place = entry + 1 if its in INLINE[kind & 1] else at + read(data, entry + 1)[0]
        if its not in INLINE[kind & 1] and place < values:
            raise ValueError("no binary JSON: a value that lies outside")
        nodes.append(_read(data, its, place, depth + 1))
    if kind > 1:
        return nodes
    names = []
    for number in range(count):
        key = keys + number * (unit + 2)
        (offset,), (size,) = read(data, key), _u16(data, key + unit)
        names.append(data[at + offset : at + offset + size])
    return dict(zip(names, nodes, strict=True))


def _scalar(data: bytes, kind: int, at: int) -> bytes:
    if kind in _WIDTHS:
        end = at + _WIDTHS[kind]
    elif kind in (12, 15):
        size, start = varying_length(data, at + (kind == 15))
        end = start + size
    else:
        raise ValueError(f"no binary JSON: a value of the kind {kind}")
    if end > len(data):
        raise ValueError("no binary JSON: a value that is cut short")
    return data[at:end]


def _write(node: Node) -> tuple[int, bytes]:
    """Kind and bytes, in the large form, which holds whatever the small one does. Members are in the server's order:
    the shorter names first."""
    if isinstance(node, Scalar):
        return node.kind, node.data
    names = sorted(node, key=lambda name: (len(name), name)) if isinstance(node, dict) else []
    children = [node[name] for name in names] if isinstance(node, dict) else node
    end = 8 + 6 * len(names) + 5 * len(children)
    heads = []
    for name in names:
        heads.append(struct.pack("<IH", end, len(name)))
        end += len(name)
    parts = [*names]
    for child in children:
        kind, data = _write(child)
        if kind in INLINE[1]:
            heads.append(bytes([kind]) + data.ljust(4, b"\0"))
            continue
        heads.append(struct.pack("<BI", kind, end))
        parts.append(data)
        end += len(data)
    made = struct.pack("<II", len(children), end) + b"".join(heads) + b"".join(parts)
    return (1 if isinstance(node, dict) else 3), made
