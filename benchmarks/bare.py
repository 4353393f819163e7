"""The loop that `tail` is measured against: psycopg2 reads a slot and drops what it reads, until a place in the log.

`python -m benchmarks.bare URL SLOT PUBLICATION LSN`; says "done" at the end.
"""

from __future__ import annotations

import os
import select
import sys

import psycopg2
import psycopg2.extras


def main(slot: str, publication: str, end: str) -> None:
    """URL comes by the environment: it holds a password."""
    connection = psycopg2.connect(
        os.environ["BARE_URL"], connection_factory=psycopg2.extras.LogicalReplicationConnection
    )
    high, low = (int(part, 16) for part in end.split("/"))
    last = high << 32 | low
    with connection.cursor() as cursor:
        options = {"proto_version": "1", "publication_names": publication}
        cursor.start_replication(slot, options=options, status_interval=10)
        while True:
            message = cursor.read_message()
            if message is None:
                if cursor.wal_end >= last:
                    break
                select.select([cursor], [], [], 0.1)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
