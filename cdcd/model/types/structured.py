"""Families that are made of other values: arrays, ranges, maps, vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cdcd.model.types.family import Family

FAMILIES = (
    Family("array", "list, or Array", "element", "lists in lists, of any depth in any column; NULL is None"),
    Family("range", "Range", "element"),
    Family("multirange", "tuple of Range", "element", "ascending, without overlap"),
    Family("map", "dict of str to str or None", note="hstore; order means nothing"),
    Family("vector", "tuple of float", "length", "each rounded to the source's width"),
)


@dataclass(frozen=True, slots=True)
class Array:
    """An array that does not begin at 1: lists in lists, and the lower bound of each dimension."""

    items: list[Any]
    lower_bounds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A range; None is no bound, which is not the same as an infinite one. `empty` has no bounds at all."""

    lower: Any = None
    upper: Any = None
    lower_inc: bool = False
    upper_inc: bool = False
    empty: bool = False
