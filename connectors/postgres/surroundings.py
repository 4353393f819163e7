"""What a source of PostgreSQL tells a target of PostgreSQL: the statements that make its tables, with what they need or
with all that is around them, and what comes with none of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cdcd.errors import Transient
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.table import Table
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.not_carried import partitions, read_not_carried
from connectors.postgres.objects import read_objects, read_relations
from connectors.postgres.objects_all import Around, read_all


@dataclass(frozen=True, slots=True)
class Dump:
    """How pg_dump logs in, and what ends it."""

    url: Callable[[], str]
    application: str
    wake: Wake


class Surroundings:
    """`dump`: where all is wanted that is around the tables; None: what they need."""

    def __init__(self, asker: Asker, dump: Dump | None) -> None:
        self._asker = asker
        self._dump = dump

    def objects(self, tables: Sequence[Table], trees: bool) -> list[Statement]:
        try:
            return self._around(tables, trees).statements
        except KeyError as error:
            raise Transient("a table was altered while it was looked at", why=f"{error} is not there") from error

    def not_carried(self, tables: Sequence[Table], trees: bool) -> list[NotCarried]:
        around = self._around(tables, trees)
        extensions = [one.of[1] for one in around.statements if one.kind == "extension"]
        left_out = around.left_out if self._dump is not None else None
        found = read_not_carried(self._asker, tables, extensions, left_out)
        return found if trees else [*found, *(partitions(table) for table in tables if table.partitioned)]

    def _around(self, tables: Sequence[Table], trees: bool) -> Around:
        relations = read_relations(self._asker, tables, trees)
        own = read_objects(self._asker, tables, trees, relations)
        if self._dump is None:
            return Around(own, [])
        return read_all(self._asker, self._dump.url(), self._dump.application, relations, own, self._dump.wake)
