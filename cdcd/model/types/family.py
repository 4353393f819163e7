"""What is known of a family of types; the files beside this one hold the families and their value classes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """`value`: the canonical Python value. `parameters`: which of LogicalType's fields it uses.

    `note`: what is special. TYPES.md is printed from these.
    """

    name: str
    value: str
    parameters: str = ""
    note: str = ""
