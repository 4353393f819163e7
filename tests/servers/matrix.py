"""Which versions the tests run on: 18 and 15, and with CDCD_MATRIX=1 all that can be had."""

import os

import pytest

ALL = (13, 14, 15, 16, 17, 18)
USUAL = (18, 15)
OTHERS = tuple(version for version in ALL if version not in USUAL)

WANTED = os.environ.get("CDCD_MATRIX") == "1"

Pair = tuple[int, int]
"""The source's version and the target's."""

HERE: Pair = (int(os.environ.get("CDCD_HERE", "18")),) * 2
"""Where a test does not say: 18, or what CDCD_HERE says."""


def has(version: int) -> bool:
    """Whether what came with this version is there, where a test does not say."""
    return min(HERE) >= version


def since(version: int, what: str) -> pytest.MarkDecorator:
    """`what` the test is of came with this version of PostgreSQL."""
    return pytest.mark.skipif(not has(version), reason=f"{what}: not before PostgreSQL {version}")


RING: tuple[Pair, ...] = tuple(zip(OTHERS, (*OTHERS[1:], OTHERS[0]), strict=True))
"""Each of the other versions once as a source and once as a target."""


def every_pair() -> list[Pair]:
    """Source and target of different versions, in both directions: of all there are, or of the usual ones."""
    versions = ALL if WANTED else USUAL
    return [(source, target) for source in versions for target in versions if source != target]


def name(pair: Pair) -> str:
    return f"{pair[0]}to{pair[1]}"
