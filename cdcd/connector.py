"""What a connector's module `connector` holds, and what its two ends may be told beyond their URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cdcd.contracts import Comparable, Sink, Source
from cdcd.fence import Fence
from cdcd.model.position import Checkpoint
from cdcd.model.retried import Retried
from cdcd.model.table import Table

Url = Callable[[], str]
"""The URL with its secrets, as of the moment it is asked: a connector asks at each connect."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a source may be told beyond its URL. `temporary`: its slot ends with the session. `failover`: its place in
    the log is to survive a fail-over of the source. In the source's own language, for a load that no stream follows:
    `where`: by table, a condition that rows must fulfil; `mask`: by table.column, what is read instead of its value.
    `lists_transactions`, `wants_old` and `loose` are what the sink's facts ask for; `loose`: it has no tables to be
    altered. `partitions`: "root" or "leaves". `log_disk`: bytes of the disk that holds the source's log, where told.
    `objects`: "tables" with what they need, or "all" that is around them too.
    `cascades`: what foreign keys change and no event tells is to be told as Cascade ("derive"), a reason not to start
    ("refuse"), or nothing that the sink could make ("").  `products`: as in the sink's facts.
    `aside`: the sink keeps no core busy, so that a process more may decode for it."""

    publication: str | None = None
    slot: str | None = None
    temporary: bool = False
    failover: bool = False
    where: Mapping[str, str] = field(default_factory=dict)
    mask: Mapping[str, str] = field(default_factory=dict)
    group_bytes: int = 4 << 20
    lists_transactions: bool = False
    wants_old: bool = False
    partitions: str = "root"
    log_disk: int | None = None
    objects: str = "tables"
    loose: bool = False
    cascades: str = ""
    products: tuple[str, ...] = ()
    aside: bool = False


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What a sink may be told beyond its URL. `replicated`: what is durable there is so only once a standby of the
    target has it too. `on_error`, `on_conflict`, `max_exceptions`, `policy_tables`: what becomes of changes that cannot
    be made, as in the configuration. `closely`: one could not be, and its transaction is to be named now, whatever
    that costs.
    `checkpoint`, `tables`: where to go on, for one that keeps no state.
    `home`: the source's own schema (Connector.home): its tables go into the database that the target's URL names, where
    schemas are databases."""

    target_tables: str = "create"
    replicated: bool = False
    on_error: str = "stop"
    on_conflict: str = "stop"
    max_exceptions: int = 1000
    policy_tables: tuple[str, ...] = ()
    closely: bool = False
    home: str = ""
    checkpoint: Checkpoint | None = None
    tables: tuple[Table, ...] = ()


class Connector(Protocol):
    """What a connector's module `connector` holds. One that only reads or only writes leaves the rest out."""

    def source(self, url: Url, name: str, options: SourceOptions) -> Source:
        """The source of pipeline `name`; connects to nothing yet."""
        ...

    def sink(self, url: Url, name: str, options: SinkOptions) -> Sink:
        """The sink of pipeline `name`; connects to nothing yet."""
        ...

    def home(self, database: str) -> str:
        """The schema that tables are in which nobody put elsewhere, at a source whose URL names this database; "":
        there is none such."""
        ...

    def status(self, url: Url, name: str) -> Mapping[str, Any] | None:
        """What the control tables say of a pipeline, None: nothing. Claims nothing. For people, and at least:
        `checkpoint` (printable position or None), `finished`, `seen`, `connected` (whether a process of the pipeline
        is; None: that cannot be told), `intent` (Source.intent, as stored), and `tables`: a list of {"id", "chunks",
        "chunks_in", "rows"}."""
        ...

    def request(self, url: Url, name: str, command: str, argument: str) -> int:
        """Leave a wish for the pipeline's daemon in the control tables; its number. Claims nothing."""
        ...

    def withdraw(self, url: Url, name: str, command: str) -> None:
        """End the wishes of that command. Durable when it returns, with all that is at the target before it."""
        ...

    def retry(self, url: Url, name: str, home: str, overwrite: bool) -> Sequence[Retried]:
        """Try the recorded changes of the pipeline again, beside whoever runs it: all in one durable transaction, so
        an error means that nothing was done. `overwrite`: the source wins where the target has another row. `home`: as
        in SinkOptions."""
        ...

    def skip(self, url: Url, name: str, tx: str) -> Mapping[str, Any]:
        """Order the pipeline's next run to pass over the transaction at which it stopped. Where it stopped: `tx`,
        `position`, `table_id`, `key`, `error`. UsageError where that is another, StateRefused where there is none."""
        ...

    def fence(self, url: Url, name: str) -> Fence:
        """What keeps others from writing at the source of pipeline `name`; connects to nothing yet."""
        ...

    def comparable(self, url: Url, name: str, home: str) -> Comparable:
        """Either end of pipeline `name`, to compare it with the other; connects to nothing yet. `home`: at a target, as
        in SinkOptions."""
        ...
