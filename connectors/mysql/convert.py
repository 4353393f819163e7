"""Whether ALTER TABLE that gives a column another type leaves its values what they were."""

from __future__ import annotations

from cdcd.model.table import Column
from connectors.mysql.types import BLOBS, INTEGERS, TEXTS, Native, charset_of, native_of

_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_LONGEST = {
    **dict.fromkeys(("tinytext", "tinyblob"), 255), **dict.fromkeys(("text", "blob"), 65535),
    **dict.fromkeys(("mediumtext", "mediumblob"), 1 << 24), **dict.fromkeys(("longtext", "longblob"), 1 << 32),
}  # fmt: skip


def keeps_values(was: Column, now: Column) -> bool:
    """Every value of `was` is the same, and has the same text, as `now`; False where that is not certain."""
    old, new = native_of(was), native_of(now)
    if was.collation is not None and (now.collation is None or charset_of(was) != charset_of(now)):
        return False
    if old == new:
        return True
    if old.name in INTEGERS and new.name in INTEGERS:
        return _range(new)[0] <= _range(old)[0] and _range(old)[1] <= _range(new)[1]
    if old.name == new.name and old.unsigned >= new.unsigned:
        return _wider(old, new)
    if new.name in ("varchar", *TEXTS[1:]) and old.name in ("char", *TEXTS) and was.type.family != "bytes":
        return _size(new) >= _size(old)
    return new.name in ("varbinary", *BLOBS[1:]) and old.name in ("binary", *BLOBS) and _size(new) >= _size(old)


def _range(native: Native) -> tuple[int, int]:
    bits = _BITS[native.name]
    return (0, (1 << bits) - 1) if native.unsigned else (-(1 << bits - 1), (1 << bits - 1) - 1)


def _size(native: Native) -> int:
    return _LONGEST.get(native.name) or native.number(0, 1)


def _wider(old: Native, new: Native) -> bool:
    name = old.name
    if name == "decimal":
        before, after = (n.number(0, 10) - n.number(1, 0) for n in (old, new))
        return after >= before and new.number(1, 0) >= old.number(1, 0)
    if name in ("char", "varchar", "varbinary", "time", "datetime", "timestamp"):
        return new.number(0, 0) >= old.number(0, 0)
    if name == "enum":
        return set(old.labels) <= set(new.labels)
    if name == "set":
        return new.labels[: len(old.labels)] == old.labels
    return False
