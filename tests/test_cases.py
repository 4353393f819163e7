"""Each case of tests/cases, read by the stream and by a load: the lines are the file's, and the two agree.

A new case is a file with SQL alone: run with CDCD_WRITE_CASES=1, and read what was written behind it.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import cast

import pytest

from cdcd.contracts import Source
from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint
from connectors.jsonlines import JsonLinesSink
from connectors.postgres.source import PostgresSource
from tests.cases.case import HERE, Case, Replica, exact, placeless, read_case
from tests.contract.reading import read
from tests.servers import Database

CASES = sorted((HERE / "postgres").glob("*.txt"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path, source_db: Database) -> None:
    case = read_case(path)
    run(source_db, case.definitions)
    streamed, loaded = follow_and_load(source_db, case)
    if os.environ.get("CDCD_WRITE_CASES"):
        path.write_text("\n".join([*case.definitions, *case.changes, "", *streamed, ""]))
    else:
        assert streamed == case.events
    by_stream, by_load = Replica(), Replica()
    for line in streamed:
        by_stream.follow(exact(line))
    for line in loaded:
        by_load.follow(exact(line))
    assert by_stream.rows() == by_load.rows()
    assert all(exact(line)["op"] == "r" for line in loaded)


def run(database: Database, statements: list[str]) -> None:
    """One after the other in one session, each its own transaction unless the case says otherwise."""
    connection = database.connect()
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def follow_and_load(database: Database, case: Case) -> tuple[list[str], list[str]]:
    """What a stream prints that begins before the changes, and what a load prints that comes after them."""
    # Its own position type is narrower than the contract's.
    source = cast(Source, PostgresSource(database.url, "case", list_transactions=True, wants_old=True))
    try:
        tables = source.tables()
        followed, loaded = io.BytesIO(), io.BytesIO()
        start = source.prepare(tables, source.intent(), load=False)
        checkpoint = Checkpoint(start.position)
        start.close()
        sink = JsonLinesSink(followed)
        source.open(checkpoint, source.identity(), {table.id: sink.forms(table) for table in tables})
        run(database, case.changes)
        for group in read(source)[0]:
            assert group.position is not None
            sink.apply(group, Checkpoint(group.position))
        snapshot = source.snapshot(tables)
        sink = JsonLinesSink(loaded)
        for table in tables:
            chunk = Chunk(table.id, 0)
            blocks = snapshot.read(table, chunk, sink.forms(table))
            sink.load(table, chunk, blocks, Checkpoint(snapshot.position))
        snapshot.close()
    finally:
        source.drop()
        source.close()
    return placeless(followed.getvalue()), placeless(loaded.getvalue())
