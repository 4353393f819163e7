"""DECIMAL of the row format → text, and numeric of PostgreSQL's wire: nine digits in four bytes, the rest in as few as
hold them (strings/decimal.c)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct

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
    lines, whole, fraction = _parts(precision, scale)
    text = f"b'%b%d.%0{scale}d' % (sign, {whole}, {fraction})" if scale else f"b'%b%d' % (sign, {whole})"
    lines = ["def text(v):", *lines, "    sign = b'-' if negative else b''", f"    return {text}"]
    return compile_function("text", lines, {"number": int.from_bytes})


@cache
def numeric_fields(precision: int, scale: int) -> tuple[int, Callable[[bytes], bytes]]:
    """The bytes of PostgreSQL's numeric, and the function to them: digits to the base of 10,000 from the point to both
    sides, zeros among them (numeric_recv takes these away); ValueError as above."""
    lines, whole, fraction = _parts(precision, scale)
    before, behind = -(-(precision - scale) // 4), -(-scale // 4)
    digits = [f"w // {10 ** (4 * at)} % 10000" for at in reversed(range(before))]
    digits += [f"f // {10 ** (4 * at)} % 10000" for at in reversed(range(behind))]
    lines += [f"    w = {whole}"] if before else []
    lines += [f"    f = ({fraction}) * {10 ** (4 * behind - scale)}"] if behind else []
    head = f"{before + behind}, {before - 1}, 16384 if negative else 0, {scale}"
    lines = ["def numeric(v):", *lines, f"    return pack({head}, {', '.join(digits)})"]
    made = Struct(f">hhHh{before + behind}H")
    return made.size, compile_function("numeric", lines, {"number": int.from_bytes, "pack": made.pack})


def _parts(precision: int, scale: int) -> tuple[list[str], str, str]:
    """Lines that take a value `v` apart, and what is before its point and behind it, as expressions."""
    size = size_of(precision, scale)
    sign_bit, every_bit = 1 << 8 * size - 1, (1 << 8 * size) - 1
    lines = [
        "    n = number(v, 'big')",
        f"    negative = n < {sign_bit}",
        f"    n ^= {every_bit ^ sign_bit} if negative else {sign_bit}",
    ]
    parts: dict[bool, str] = {True: "0", False: "0"}
    shift = 8 * size
    for number, (digits, width, whole) in enumerate(_groups(precision, scale)):
        shift -= 8 * width
        lines.append(f"    g{number} = n >> {shift} & {(1 << 8 * width) - 1}")
        lines.append(f"    if g{number} >= {10**digits}: raise ValueError('no decimal')")
        parts[whole] = f"g{number}" if parts[whole] == "0" else f"({parts[whole]}) * {10**digits} + g{number}"
    return lines, parts[True], parts[False]


def _groups(precision: int, scale: int) -> list[tuple[int, int, bool]]:
    """(digits, bytes, before the point) of each group, from the left."""
    whole, fraction = precision - scale, scale
    groups = [(whole % 9, _BYTES[whole % 9], True)] if whole % 9 else []
    groups += [(9, 4, True)] * (whole // 9) + [(9, 4, False)] * (fraction // 9)
    return groups + ([(fraction % 9, _BYTES[fraction % 9], False)] if fraction % 9 else [])
