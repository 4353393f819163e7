"""DECIMAL of the row format → text, and numeric of PostgreSQL's wire: nine digits in four bytes, the rest in as few as
hold them (strings/decimal.c)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct
from typing import Any

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
    groups = _groups(precision, scale)
    parts = {True: "0", False: "0"}
    for number, (digits, _, before) in enumerate(groups):
        parts[before] = f"g{number}" if parts[before] == "0" else f"({parts[before]}) * {10**digits} + g{number}"
    pattern, values = "%d", parts[True]
    names: dict[str, Any] = {}
    if scale > 3:
        pattern, values = f"%d.%0{scale}d", f"{values}, {parts[False]}"
    elif scale:
        # One group, which is quicker looked up than formatted with its zeros.
        pattern, values = "%d.%b", f"{values}, fractions[{parts[False]}]"
        names = {"fractions": [b"%0*d" % (scale, number) for number in range(10**scale)]}
    lines, more = _taken_apart(groups, "0", "1")
    lines += [
        "    if sign:",
        f"        return b'-{pattern}' % ({values})",
        f"    return b'{pattern}' % ({values})",
    ]
    return compile_function("text", ["def text(v):", *lines], {**names, **more})


@cache
def numeric_fields(precision: int, scale: int) -> tuple[int, Callable[[bytes], bytes]]:
    """The bytes of PostgreSQL's numeric, and the function to them: digits to the base of 10,000 from the point to both
    sides, zeros at both ends too (numeric_recv takes these away); ValueError as above."""
    groups = _groups(precision, scale)
    lines, names = _taken_apart(groups, "0", "16384")
    digits: list[str] = []
    for before in (False, True):
        # From the right: what is left of a group after its tens of thousands goes on with the one before it. So most
        # numbers stay small, which Python divides twice as fast as whole values.
        rest, count = "0", 0 if before else -scale % 4
        its = [(number, digits) for number, (digits, _, where) in enumerate(groups) if where is before]
        for number, size in reversed(its):
            lines.append(f"    h{number} = g{number} * {10**count} + {rest}")
            count += size
            taken = -(-count // 4) if number == its[0][0] else count // 4
            digits = [*(f"h{number} // {10 ** (4 * at)} % 10000" for at in reversed(range(taken))), *digits]
            rest, count = f"h{number} // {10 ** (4 * taken)}", count - 4 * taken
    behind = -(-scale // 4)
    head = f"{len(digits)}, {len(digits) - behind - 1}, sign, {scale}"
    made = Struct(f">hhHh{len(digits)}H")
    body = ["def numeric(v):", *lines, f"    return pack({head}, {', '.join(digits)})"]
    return made.size, compile_function("numeric", body, {**names, "pack": made.pack})


def _taken_apart(groups: Sequence[tuple[int, int, bool]], plus: str, minus: str) -> tuple[list[str], dict[str, Any]]:
    """Lines that set g0, g1 … to the groups of digits of `v`, and `sign`; and what they name. The first bit is set
    where the number is not negative; where it is negative, all are the other way round."""
    codes = "".join({1: "B", 2: "H", 3: "HB", 4: "I"}[width] for _, width, _ in groups)
    read = [f"g{number}, low{number}" if width == 3 else f"g{number}" for number, (_, width, _) in enumerate(groups)]
    sign_bit = 1 << 8 * groups[0][1] - 1
    lines = [
        f"    {', '.join(read)}, = unpack(v)",
        *(f"    g{number} = g{number} << 8 | low{number}" for number, (_, width, _) in enumerate(groups) if width == 3),
        f"    if g0 & {sign_bit}:",
        f"        g0 ^= {sign_bit}",
        f"        sign = {plus}",
        "    else:",
        *(f"        g{number} ^= {(1 << 8 * width) - 1}" for number, (_, width, _) in enumerate(groups)),
        f"        g0 ^= {sign_bit}",
        f"        sign = {minus}",
        f"    if {' or '.join(f'g{number} >= {10**digits}' for number, (digits, _, _) in enumerate(groups))}:",
        "        raise ValueError('no decimal')",
    ]
    return lines, {"unpack": Struct(f">{codes}").unpack}


def _groups(precision: int, scale: int) -> list[tuple[int, int, bool]]:
    """(digits, bytes, before the point) of each group, from the left."""
    whole, fraction = precision - scale, scale
    groups = [(whole % 9, _BYTES[whole % 9], True)] if whole % 9 else []
    groups += [(9, 4, True)] * (whole // 9) + [(9, 4, False)] * (fraction // 9)
    return groups + ([(fraction % 9, _BYTES[fraction % 9], False)] if fraction % 9 else [])
