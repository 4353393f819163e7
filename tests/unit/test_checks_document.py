"""CHECKS.md is what the tables of findings say; every id in them is found by some code, and no other is."""

from __future__ import annotations

import re
from pathlib import Path

from connectors.mysql.findings import FINDINGS as MYSQL
from connectors.postgres.findings import FINDINGS as POSTGRES
from tests.checks_document import document
from tests.house import python, text

FINDINGS = {**POSTGRES, **MYSQL}


def test_the_document_is_printed_from_the_tables() -> None:
    assert text(Path("CHECKS.md")) == document(), "python -m tests.checks_document > CHECKS.md"


def test_every_id_is_found_by_code_and_none_is_unknown() -> None:
    used: set[str] = set()
    for path in python("connectors"):
        if path.name != "findings.py":
            used |= set(re.findall(r'"((?:P[GT]|M[YT])-[A-Z][A-Z-]+)"', text(path)))
    assert used == set(FINDINGS)


def test_levels_and_sentences() -> None:
    for level, meaning in FINDINGS.values():
        assert level in ("error", "warning")
        assert meaning.endswith(".")
