"""What the registry asks of this connector: `postgresql://…` as a source and as a sink, by their constructors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cdcd.connector import SinkOptions, SourceOptions, Url
from cdcd.model.retried import Retried
from cdcd.model.selection import Selection
from cdcd.policy import Policy
from connectors.postgres.compare import PostgresComparable
from connectors.postgres.fence import PostgresFence
from connectors.postgres.outside import leave_request, read_status, withdraw_requests
from connectors.postgres.parts import Parts
from connectors.postgres.retry import retry as try_again
from connectors.postgres.sink import PostgresSink
from connectors.postgres.skip import order_skip
from connectors.postgres.source import PostgresSource


def source(url: Url, name: str, options: SourceOptions) -> PostgresSource:
    return PostgresSource(
        url,
        name,
        publication=options.publication,
        slot=options.slot,
        temporary=options.temporary,
        failover=options.failover,
        parts=Parts(options.where, options.mask),
        group_bytes=options.group_bytes,
        list_transactions=options.lists_transactions,
        wants_old=options.wants_old,
        partitions=options.partitions,
        log_disk=options.log_disk,
        objects=options.objects,
        loose=options.loose,
    )


def sink(url: Url, name: str, options: SinkOptions) -> PostgresSink:
    return PostgresSink(
        url,
        name,
        target_tables=options.target_tables,
        replicated=options.replicated,
        refused=Policy(
            options.on_error, options.on_conflict, options.max_exceptions, Selection(options.policy_tables)
        ),
        closely=options.closely,
    )


def home(database: str) -> str:
    return "public"


def status(url: Url, name: str) -> Mapping[str, Any] | None:
    return read_status(url, name)


def request(url: Url, name: str, command: str, argument: str) -> int:
    return leave_request(url, name, command, argument)


def withdraw(url: Url, name: str, command: str) -> None:
    withdraw_requests(url, name, command)


def retry(url: Url, name: str, home: str, overwrite: bool) -> Sequence[Retried]:
    return try_again(url, name, overwrite)


def skip(url: Url, name: str, tx: str) -> Mapping[str, Any]:
    return order_skip(url, name, tx)


def fence(url: Url, name: str) -> PostgresFence:
    return PostgresFence(url, name)


def comparable(url: Url, name: str, home: str = "") -> PostgresComparable:
    return PostgresComparable(url, name)
