"""What the registry asks of this connector: `mysql://…` and `mariadb://…` as a source."""

from __future__ import annotations

from cdcd.connector import SourceOptions, Url
from connectors.mysql.compare import MysqlComparable
from connectors.mysql.source import MysqlSource


def source(url: Url, name: str, options: SourceOptions) -> MysqlSource:
    return MysqlSource(
        url,
        name,
        group_bytes=options.group_bytes,
        list_transactions=options.lists_transactions,
        wants_old=options.wants_old,
    )


def comparable(url: Url, name: str) -> MysqlComparable:
    return MysqlComparable(url, name)
