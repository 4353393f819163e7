"""The target is consistent."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.schema import Statement
from cdcd.model.table import Table
from connectors.mysql.ddl import make
from connectors.mysql.missing import missing
from connectors.mysql.writer import Writer


def build(writer: Writer, pipeline: str, tables: Sequence[Table], objects: Sequence[Statement]) -> None:
    """What a load is better off without is built now. Each statement commits: what took an hour is not done again after
    a crash."""
    with writer.durably() as session:
        wanted = missing(session, [one for one in objects if one.stage == "after"])
    for one in wanted:
        with writer.durably() as session:
            make(session, one)
    with writer.durably() as session:
        session.run("UPDATE cdcd.epochs SET finished = 1 WHERE pipeline = %s", pipeline)
    writer.look_again()
