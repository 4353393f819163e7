"""What would go wrong at a PostgreSQL target, found before anything is started."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.contracts import Finding
from cdcd.model.table import Table
from connectors.postgres.sessions import Session


def check_target(session: Session, tables: Sequence[Table], policy: str, replica: bool) -> list[Finding]:
    """`replica`: whether our role may switch ordinary triggers off."""
    return []
