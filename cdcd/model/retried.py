"""What became of a recorded change that was tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retried:
    """`id` is the record's, `change` insert, update, delete or truncate, `key` as the target writes it (None: of a
    table without one). `made`: its row is what the source says now; else `why` it waits on."""

    id: int
    table: str
    change: str
    key: str | None
    tx: str | None
    made: bool
    why: str = ""
