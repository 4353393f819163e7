"""What the registry asks of this connector: `mysql://…` and `mariadb://…` as a source and as a sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cdcd.connector import SinkOptions, SourceOptions, Url
from cdcd.errors import UsageError
from cdcd.model.retried import Retried
from cdcd.model.selection import Selection
from cdcd.policy import Policy
from connectors.mysql.compare import MysqlComparable
from connectors.mysql.fence import MysqlFence
from connectors.mysql.outside import leave_request, read_status, withdraw_requests
from connectors.mysql.retry import retry as try_again
from connectors.mysql.sink import MysqlSink
from connectors.mysql.skip import order_skip
from connectors.mysql.source import MysqlSource


def source(url: Url, name: str, options: SourceOptions) -> MysqlSource:
    return MysqlSource(
        url,
        name,
        group_bytes=options.group_bytes,
        list_transactions=options.lists_transactions,
        wants_old=options.wants_old,
        cascades=options.cascades,
        products=options.products,
        aside=options.aside,
    )


def sink(url: Url, name: str, options: SinkOptions) -> MysqlSink:
    if options.replicated:
        raise UsageError(
            "acknowledge_after = replicated is not for targets of MySQL or MariaDB",
            why="no status tells which of the server's replicas have a transaction",
            hint="leave it out; a server with semi-synchronous replication waits at COMMIT by itself",
        )
    policy = Policy(options.on_error, options.on_conflict, options.max_exceptions, Selection(options.policy_tables))
    return MysqlSink(
        url, name, target_tables=options.target_tables, home=options.home, refused=policy, closely=options.closely
    )


def home(database: str) -> str:
    return database


def fence(url: Url, name: str) -> MysqlFence:
    return MysqlFence(url, name)


def comparable(url: Url, name: str, home: str = "") -> MysqlComparable:
    return MysqlComparable(url, name, home)


def status(url: Url, name: str) -> Mapping[str, Any] | None:
    return read_status(url, name)


def request(url: Url, name: str, command: str, argument: str) -> int:
    return leave_request(url, name, command, argument)


def withdraw(url: Url, name: str, command: str) -> None:
    withdraw_requests(url, name, command)


def retry(url: Url, name: str, home: str, overwrite: bool) -> Sequence[Retried]:
    return try_again(url, name, home, overwrite)


def skip(url: Url, name: str, tx: str) -> Mapping[str, Any]:
    return order_skip(url, name, tx)
