"""Writing a chunk with its record, in one transaction on a session of its own; chunks go side by side (T-PO-9)."""

from __future__ import annotations

import json

from cdcd.contracts import Blocks
from cdcd.errors import CdcdError
from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.refused import fenced, not_now, other_count
from connectors.postgres.forms import Encoding
from connectors.postgres.names import qualified, quote_identifier
from connectors.postgres.sessions import Session

_LOCK = """
SELECT c.state, k.checkpoint = %(place)s::jsonb
FROM cdcd.epochs e JOIN cdcd.chunks c USING (pipeline) JOIN cdcd.checkpoints k USING (pipeline)
WHERE e.pipeline = %(pipeline)s AND e.epoch = %(epoch)s AND k.scope = ''
  AND c.table_id = %(table)s AND c.number = %(number)s
FOR SHARE OF e FOR UPDATE OF c
"""

_DONE = """
UPDATE cdcd.chunks SET state = 'in', rows = %(rows)s, bytes = %(bytes)s
WHERE pipeline = %(pipeline)s AND table_id = %(table)s AND number = %(number)s;
COMMIT
"""


def load_chunk(
    session: Session, pipeline: str, epoch: int, table: Table, chunk: Chunk, blocks: Blocks, place: Checkpoint
) -> int:
    """The number of rows written. Any error leaves the transaction open: end the session."""
    names: dict[str, object] = {"pipeline": pipeline, "table": table.id, "number": chunk.number}
    session.defer("BEGIN")
    row = session.row(_LOCK, {**names, "epoch": epoch, "place": json.dumps(place.to_json())})
    if row is None:
        raise fenced(pipeline)
    state, here = row
    if state != "unread" or not here:
        raise not_now(chunk, state == "unread")
    columns = ", ".join(map(quote_identifier, blocks.form.columns))
    copy = f"COPY {qualified(table)} ({columns}) FROM STDIN (FORMAT {Encoding(blocks.form).format})"
    try:
        rows = session.copy(copy, blocks.data)
    except CdcdError as error:
        error.where = {"table": table.id, "chunk": chunk.number, **error.where}
        raise
    if blocks.counts["rows"] not in (0, rows):
        raise other_count(chunk, rows, blocks.counts["rows"])
    session.run(_DONE, {**names, "rows": rows, "bytes": blocks.counts["bytes"]})
    return rows
