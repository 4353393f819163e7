"""Prints CHECKS.md from the tables of findings: `python -m tests.checks_document > CHECKS.md`."""

from __future__ import annotations

from cdcd.engine.examine import FINDINGS as ENGINE
from connectors.mysql.findings import FINDINGS as MYSQL
from connectors.postgres.findings import FINDINGS as POSTGRES

HEAD = """\
# What `cdcd check` finds

Printed from the code by `python -m tests.checks_document`; a test compares. `cdcd run` makes the same checks before it
starts. An error stops it (exit code 3); a warning is logged, and counts with `--strict`. Each finding says what was
seen, and the statement that mends it. Ids stay what they are: scripts may go by them.
"""

PARTS = (
    ("Tables", ENGINE, ""),
    ("PostgreSQL as a source", POSTGRES, "PG-"),
    ("PostgreSQL as a target", POSTGRES, "PT-"),
    ("MySQL and MariaDB as a source", MYSQL, "MY-"),
    ("MySQL and MariaDB as a target", MYSQL, "MT-"),
)


def document() -> str:
    """The whole file."""
    lines = [HEAD]
    for title, findings, prefix in PARTS:
        rows = [f"| {id} | {level} | {text} |" for id, (level, text) in findings.items() if id.startswith(prefix)]
        lines += [f"## {title}\n", "| id | level | what it means |", "|---|---|---|", *rows, ""]
    lines.append(
        "Of the tables that cannot be carried (PG-UNLOGGED, PG-TEMPORARY, PG-FOREIGN, PG-EXTENSION, PG-PARTITION), one "
        "that\nis named without a wildcard, or all that is selected, is an error."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
