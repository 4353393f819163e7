"""Everything that would go wrong at a MySQL or MariaDB target, found before anything is started; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.contracts import Finding
from cdcd.model.schema import Statement
from cdcd.model.table import Table
from connectors.mysql.check_structure import check_structure
from connectors.mysql.sessions import Session


def check_target(
    session: Session, pipeline: str, tables: Sequence[Table], objects: Sequence[Statement], policy: str
) -> list[Finding]:
    return list(check_structure(session, tables, policy))
