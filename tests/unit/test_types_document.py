"""TYPES.md is what the tables say, and the tables speak of each other's families."""

from __future__ import annotations

from pathlib import Path

from connectors.jsonlines.values import EXPRESSIONS
from connectors.postgres.types import NATIVES
from tests.types_document import FAMILIES, document

ROOT = Path(__file__).parents[2]


def test_the_file_is_the_tables() -> None:
    assert (ROOT / "TYPES.md").read_text() == document(), "run: python -m tests.types_document > TYPES.md"


def test_every_family_is_known_everywhere() -> None:
    families = {family.name for family in FAMILIES}
    assert {native.family for native in NATIVES.values()} <= families
    assert set(EXPRESSIONS) == families
