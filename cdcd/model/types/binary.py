"""Families of bytes and bits."""

from __future__ import annotations

from dataclasses import dataclass

from cdcd.model.types.family import Family

FAMILIES = (
    Family("bytes", "bytes"),
    Family("uuid", "uuid.UUID"),
    Family("geometry", "bytes", note="extended WKB, little-endian: the SRID is in it, where it is not 0"),
    Family("bit", "Bits", "length", "exactly so many bits"),
    Family("varbit", "Bits", "length", "at most so many bits; may have none"),
)


@dataclass(frozen=True, slots=True)
class Bits:
    """A string of `length` bits, read as one number; leading zeros count: 0010 is not 10."""

    value: int
    length: int

    @staticmethod
    def of(text: str) -> Bits:
        """From its text of 0 and 1."""
        return Bits(int(text, 2) if text else 0, len(text))

    def __str__(self) -> str:
        return format(self.value, f"0{self.length}b") if self.length else ""
