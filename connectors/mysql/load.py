"""Writing a chunk with its record, in one transaction on a session of its own; chunks go side by side (T-PO-9).

A block that goes by LOAD DATA LOCAL is under a savepoint: the server leaves out and alters rows with warnings only
(T-MT-2). Where there is one the block is written again row by row, by INSERT, which refuses and so names whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from cdcd.contracts import Blocks
from cdcd.errors import CdcdError, Conflict, PoisonRow
from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.refused import fenced, not_now, other_count
from connectors.mysql.claim import to_text
from connectors.mysql.forms import Encoding, names_of
from connectors.mysql.ordered import BATCH, tell
from connectors.mysql.sessions import Session
from connectors.mysql.shape import read_shape
from connectors.mysql.single import Change, OneByOne
from connectors.mysql.stage import Into

_EPOCH = "SELECT epoch FROM cdcd.epochs WHERE pipeline = %s AND epoch = %s LOCK IN SHARE MODE"
_CHUNK = "SELECT state FROM cdcd.chunks WHERE pipeline = %s AND table_id = %s AND number = %s FOR UPDATE"
_PLACE = "SELECT checkpoint FROM cdcd.checkpoints WHERE pipeline = %s AND scope = ''"
_DONE = """
UPDATE cdcd.chunks SET state = 'in', `rows` = %s, bytes = %s WHERE pipeline = %s AND table_id = %s AND number = %s;
COMMIT"""

_BLOCK = 8 << 20
"""Bytes of rows sent at once, and held for another try."""


def load_chunk(
    session: Session, pipeline: str, epoch: int, table: Table, chunk: Chunk, blocks: Blocks, place: Checkpoint
) -> int:
    """The number of rows written. Any error leaves the transaction open: end the session."""
    _take(session, pipeline, epoch, table, chunk, place)
    shape = read_shape(session, table)
    columns = [shape.columns[name] for name in blocks.form.columns]
    encoding = Encoding(columns, session.mariadb)
    into = Into(session, shape.sql, names_of(blocks.form.columns), encoding)
    rows = 0
    try:
        for block in _whole_rows(blocks.data, min(_BLOCK, session.packet // 4)):
            session.defer("SAVEPOINT block")
            try:
                into.write_block(block)
            except (Conflict, PoisonRow) as error:
                session.run("ROLLBACK TO SAVEPOINT block")
                _one_by_one(session, OneByOne(shape, blocks.form, session.mariadb), block, error)
            rows += block.count(b"\n")
    except CdcdError as error:
        error.where = {"table": table.id, "chunk": chunk.number, **error.where}
        raise
    if blocks.counts["rows"] not in (0, rows):
        raise other_count(chunk, rows, blocks.counts["rows"])
    session.run(_DONE, rows, blocks.counts["bytes"], pipeline, table.id, chunk.number)
    return rows


def _take(
    session: Session, pipeline: str, epoch: int, table: Table, chunk: Chunk, place: Checkpoint
) -> None:
    if session.row(_EPOCH, pipeline, epoch) is None:
        raise fenced(pipeline)
    state = session.row(_CHUNK, pipeline, table.id, chunk.number)
    if state is None:
        raise fenced(pipeline)
    here = session.row(_PLACE, pipeline) == (to_text(place.to_json()),)
    if state != ("unread",) or not here:
        raise not_now(chunk, state == ("unread",))


def _whole_rows(data: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The stream in blocks that end where rows end."""
    taken: list[bytes] = []
    total = 0
    for piece in data:
        taken.append(piece)
        total += len(piece)
        if total >= size:
            block = b"".join(taken)
            end = block.rfind(b"\n") + 1
            if end:
                yield block[:end]
            taken, total = [block[end:]], len(block) - end
    if total:
        yield b"".join(taken)


def _one_by_one(session: Session, table: OneByOne, block: bytes, why: CdcdError) -> None:
    """Write the block's rows so that each answers for itself."""
    rows = block[:-1].split(b"\n")
    at, size = 0, session.packet // 4
    while at < len(rows):
        batch: list[bytes] = []
        total = 0
        while at + len(batch) < len(rows) and len(batch) < BATCH and (not batch or total < size):
            batch.append(table.statement(Change.of(rows[at + len(batch)] + b"\n")))
            total += len(batch[-1])
        done, error = session.tried(b"; ".join(batch))
        if error is not None:
            raise tell(error, table, Change.of(rows[at + len(done)] + b"\n")) from why
        at += len(batch)
