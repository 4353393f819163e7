"""DECIMAL of the row format → text: nine digits in four bytes, the rest in as few as hold them (strings/decimal.c)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from cdcd.rows import compile_function

_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
"""For so many digits."""


def size_of(precision: int, scale: int) -> int:
    """Bytes of a value."""
    whole, fraction = precision - scale, scale
    return whole // 9 * 4 + _BYTES[whole % 9] + fraction // 9 * 4 + _BYTES[fraction % 9]


@cache
def decimal_text(precision: int, scale: int) -> Callable[[bytes], bytes]:
    """The function from a value's bytes to its text, with all digits of the scale; ValueError where a group of digits
    is none."""
    size = size_of(precision, scale)
    groups = _groups(precision, scale)
    sign_bit, every_bit = 1 << 8 * size - 1, (1 << 8 * size) - 1
    lines = [
        "def text(v):",
        "    n = number(v, 'big')",
        f"    if n & {sign_bit}:",
        f"        n ^= {sign_bit}",
        "        sign = b''",
        "    else:",
        f"        n ^= {every_bit ^ sign_bit}",
        "        sign = b'-'",
    ]
    parts: dict[bool, str] = {True: "0", False: "0"}
    shift = 8 * size
    for number, (digits, width, whole) in enumerate(groups):
        shift -= 8 * width
        lines.append(f"    g{number} = n >> {shift} & {(1 << 8 * width) - 1}")
        lines.append(f"    if g{number} >= {10**digits}: raise ValueError('no decimal')")
        parts[whole] = f"g{number}" if parts[whole] == "0" else f"({parts[whole]}) * {10**digits} + g{number}"
    if scale:
        lines.append(f"    return b'%b%d.%0{scale}d' % (sign, {parts[True]}, {parts[False]})")
    else:
        lines.append(f"    return b'%b%d' % (sign, {parts[True]})")
    return compile_function("text", lines, {"number": int.from_bytes})


def _groups(precision: int, scale: int) -> list[tuple[int, int, bool]]:
    """(digits, bytes, before the point) of each group, from the left."""
    whole, fraction = precision - scale, scale
    groups = [(whole % 9, _BYTES[whole % 9], True)] if whole % 9 else []
    groups += [(9, 4, True)] * (whole // 9) + [(9, 4, False)] * (fraction // 9)
    return groups + ([(fraction % 9, _BYTES[fraction % 9], False)] if fraction % 9 else [])
