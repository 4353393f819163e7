"""A cell is a value or a Delta; a Delta is never written as NULL."""

from __future__ import annotations

from typing import Final, final


class Delta:
    """A change to a value that is not itself a value."""


@final
class _Unchanged(Delta):
    """Not sent, because it did not change: unchanged TOAST, an absent column of a minimal update image."""

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __reduce__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = _Unchanged()
"""The identity delta, and the only singleton among them."""
