"""Whether a pooler stands before the server that gives one of its sessions to several of ours in turn: settings,
temporary tables and locks would be somebody else's ("Pooling modes" in PgBouncer's manual)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2

from cdcd.contracts import Finding
from connectors.postgres.connect import Connection, connect
from connectors.postgres.errors import translate
from connectors.postgres.findings import finding

_TURNS = 5
"""Which session a pooler gives goes by what came back last; one that is being reset is passed over."""


def pooled(url: str) -> Iterator[Finding]:
    """Told by which sessions of the server two of ours have, asked in changing order: each its own, or not."""
    try:
        with closing(connect(url, "cdcd/check")) as one:
            one.autocommit = True
            if _process(one) == one.info.backend_pid:  # what answered the log-in is the server itself
                return
            with closing(connect(url, "cdcd/check")) as other:
                other.autocommit = True
                ours, others = set[int](), set[int]()
                for _ in range(_TURNS):
                    ours |= {_process(one), _process(one)}
                    others |= {_process(other), _process(other)}
                    ours.add(_process(one))
                    others.add(_process(other))
    except psycopg2.Error as error:
        raise translate(error) from None
    if len(ours) > 1 or len(others) > 1 or ours == others:
        yield finding(
            "PT-POOLER", "a pooler gives one session of the target to several of ours in turn",
            f"two sessions of ours were the server's processes {', '.join(map(str, sorted(ours | others)))}",
            "point the URL at the server itself, not to a pooler; or have it keep sessions (pool_mode = session)",
        )  # fmt: skip


def _process(connection: Connection) -> int:
    """The number of the server's process that has our session now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ((number,),) = cursor.fetchall()
        return int(number)
