"""Places in a file of more than 4 GB, as one transaction makes it: its events tell four bytes of where they end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import pytest
import zstandard

from cdcd.errors import OtherServer
from cdcd.model.group import Group
from connectors.mysql.position import Offset
from connectors.mysql.wire import Wire
from tests.contract.reading import events
from tests.unit.mysql import binlog_bytes as made

GB = 1 << 30
FILE = "binlog.000007"
BEGUN = made.rotate(FILE, 157)


def laid(at: int, parts: Sequence[bytes], apart: int = 0) -> Iterator[bytes]:
    """Events one behind the other from there on, `apart` more bytes between any two."""
    for part in parts:
        at += len(part)
        yield made.ends_at(part, at)
        at += apart


def read(place: Offset, parts: Sequence[bytes]) -> tuple[Offset, list[str]]:
    """Each event as it comes, by itself; the place behind, and the keys of the rows that were inserted."""
    stream, group = made.stream(place=place), Group()
    for part in parts:
        stream.decode(cast(Wire, made.Held(made.packet(part))), group, None)
    return cast(Offset, group.position), [key for what, _, (key, *_), *_ in events([group]) if what == "insert"]


def transaction(number: int, rows: int = 1) -> list[bytes]:
    inserts = [made.rows(30, made.image(number * 100 + row)) for row in range(rows)]
    return [made.no_gtid(number), made.begin(), made.table_map(), *inserts, made.xid()]


@pytest.mark.failure("MY-19")
def test_a_transaction_of_many_gigabytes() -> None:
    """Rows are taken, and rows of others are not. The place is whole; read again from it, or from where the file
    begins, what was passed is passed over, and must be what it was; the next file counts from its beginning."""
    small, huge, behind = transaction(1), transaction(2, rows=9), transaction(3)
    others = [part.replace(b"\x01t\0", b"\x01u\0") for part in huge]
    end = 157 + sum(map(len, small))
    for parts, rows in (huge, [f"20{n}" for n in range(9)]), (others, []):
        after = end + sum(map(len, parts)) + (len(parts) - 1) * GB
        file = [BEGUN, *laid(157, small), *laid(end, parts, GB), *laid(after, behind)]
        whole = after + sum(map(len, behind))
        assert whole > 11 * GB
        place, keys = read(Offset(FILE, 157), file)
        assert place == Offset(FILE, whole) and keys == ["100", *rows, "300"]
        assert place.last is not None and place.last.gtid == f"{FILE}:{after}" and place.last.stamp == 3
        between, keys = read(Offset(FILE, 157), file[: -len(behind)])
        assert between == Offset(FILE, after) and keys == ["100", *rows]
        assert between.last is not None and between.last.gtid == f"{FILE}:{end}"

        # From there on: from where the last transaction begins, or from the file's beginning.
        assert read(between, [made.rotate(FILE, end), *file[1 + len(small) :]]) == (place, ["300"])
        assert read(between, file) == (place, ["300"])
        following = [made.rotate("binlog.000008", 4), *laid(4, [made.event(35, bytes(100)), *transaction(4)])]
        sizes = 4 + 119 + sum(map(len, transaction(4)))
        left = [*file, made.ends_at(made.rotate("binlog.000008", 4), whole + 40), *following]
        assert read(place, left) == (Offset("binlog.000008", sizes), ["400"])

    twin = [*file[: -len(behind)], *laid(after, transaction(7))]
    with pytest.raises(OtherServer, match=f"{FILE}:{after} was committed"):
        stream = made.stream(place=place, again=place.last)
        for part in twin:
            stream.decode(cast(Wire, made.Held(made.packet(part))), Group(), None)


@pytest.mark.failure("MY-19")
def test_what_stands_where_the_four_bytes_begin_anew() -> None:
    """An end of 4 GB exactly, of a transaction, and of one that is compressed; what the server makes up itself has no
    place, or that of what came before."""
    parts = transaction(5)
    begin = 4 * GB - sum(map(len, parts))
    came = [made.rotate(FILE, begin), *laid(begin, parts)]
    place, keys = read(Offset(FILE, begin), came)
    assert place == Offset(FILE, 4 * GB) and keys == ["500"]
    beat = made.ends_at(made.event(27, FILE.encode()), 4 * GB)
    behind = 4 * GB + sum(map(len, transaction(6)))
    assert read(place, [*came, beat, *laid(4 * GB, transaction(6))]) == (Offset(FILE, behind), ["600"])

    head, *inner = transaction(5)
    data = zstandard.ZstdCompressor().compress(b"".join(inner))
    fields = b"\x02\x01\0\x03\x03\xfc" + len(b"".join(inner)).to_bytes(2, "little") + b"\0"
    packed = [head, made.event(40, fields + data)]
    begin = 4 * GB - sum(map(len, packed))
    came = [made.rotate(FILE, begin), *laid(begin, packed), beat, *laid(4 * GB, transaction(6))]
    place, keys = read(Offset(FILE, begin), came)
    assert place == Offset(FILE, behind) and keys == ["500", "600"]
    assert place.last is not None and place.last.gtid == f"{FILE}:{4 * GB}"
