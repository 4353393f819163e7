"""Families of numbers; plain Python holds all of their values."""

from __future__ import annotations

from cdcd.model.types.family import Family

FAMILIES = (
    Family("bool", "bool", note="never an int: True == 1 in Python, so a test compares types too"),
    Family("int16", "int"),
    Family("int32", "int"),
    Family("int64", "int"),
    Family("uint32", "int"),
    Family("uint64", "int"),
    Family(
        "decimal",
        "decimal.Decimal",
        "precision, scale; neither: unbounded",
        # Never computed with: Python's default context rounds to 28 digits.
        "scale as read (1.10 is not 1.1 on the wire); NaN and infinities are values",
    ),
    Family("float32", "float", note="already rounded to 32 bits; NaN, -0 and infinities are values"),
    Family("float64", "float", note="NaN, -0 and infinities are values"),
)
