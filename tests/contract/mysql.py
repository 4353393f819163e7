"""The menu's cases of the MySQL connector, on real servers of both products, as the least privileged user."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from cdcd.contracts import Source
from cdcd.model.position import Identity
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from cdcd.policy import STOP, Policy
from cdcd.rows import Field, Layout, RowForm
from connectors.memory.form import TEXT
from connectors.mysql.login import Connection
from connectors.mysql.sink import MysqlSink
from connectors.mysql.source import MysqlSource
from tests.contract.case import OpenTransaction, Rows, SinkCase, SourceCase
from tests.contract.changes import Change, Delete, Insert, Spec, Truncate, Update
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Proxy

TYPES = {"int64": "bigint", "text": "varchar(4000)"}


def names(of: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in of)


def ddl(spec: Spec) -> str:
    columns = [f"`{name}` {'longtext' if name == 'big' else TYPES[family]}" for name, family in spec.columns.items()]
    if spec.key:
        columns.append(f"PRIMARY KEY ({names(spec.key)})")
    columns += [f"UNIQUE (`{one}`(100))" for unique in spec.unique for one in unique]
    return f"CREATE TABLE `{spec.name}` ({', '.join(columns)})"


def statement(change: Change) -> tuple[str, tuple[Any, ...]]:
    """The change as SQL. Of equal rows without a key, one."""
    match change:
        case Insert(spec, row):
            return f"INSERT INTO `{spec.name}` VALUES ({', '.join(['%s'] * len(row))})", row
        case Update(spec, key, to):
            sets = ", ".join(f"`{name}` = %s" for name in to)
            return f"UPDATE `{spec.name}` SET {sets} WHERE {one_row(spec)}", (*to.values(), *key)
        case Delete(spec, key):
            return f"DELETE FROM `{spec.name}` WHERE {one_row(spec)}", key
        case Truncate((spec,)):
            return f"TRUNCATE `{spec.name}`", ()
    raise AssertionError(f"not to be said in one statement: {change}")


def one_row(spec: Spec) -> str:
    return " AND ".join(f"`{name}` = %s" for name in spec.key or tuple(spec.columns)) + " LIMIT 1"


def rows(database: MySQLDatabase, spec: Spec) -> Rows:
    columns = ", ".join(f"CAST(`{name}` AS CHAR)" for name in spec.columns)
    if not database.sql(f"SHOW TABLES LIKE '{spec.name}'"):
        return []
    return sorted((tuple(row) for row in database.sql(f"SELECT {columns} FROM `{spec.name}`")), key=str)


class MysqlSourceCase(SourceCase):
    """In a database called `menu`, as the specs' ids say."""

    has = frozenset[str]()

    def __init__(self, database: MySQLDatabase) -> None:
        self._database = database
        self._number = 0

    def source(self, bound: int = 1 << 20) -> Source:
        # Its positions are its own, which the contract leaves opaque.
        return cast(Source, MysqlSource(self._database.url, "menu", group_bytes=bound))

    def form(self, table: Table) -> RowForm:
        columns = tuple(column.name for column in table.carried)
        fields = (Field({"pg-text:*": "v"}),) * len(columns)
        return RowForm("text", table, columns, fields, Layout(b"", b"\t", b"\n", b"\\N"))

    def create(self, spec: Spec) -> None:
        self._database.sql(ddl(spec))

    def commit(self, *changes: Change) -> None:
        self.begin(*changes).commit()

    def begin(self, *changes: Change) -> OpenTransaction:
        connection = self._database.server.connect(self._database.name, autocommit=False)
        with connection.cursor() as cursor:
            if any(isinstance(change, Update) and self._out_of_line(change.table) for change in changes):
                # What is out of line is then sent only when it changes, as by other products.
                cursor.execute("SET SESSION binlog_row_image = 'NOBLOB'")
            for change in changes:
                text, values = statement(change)
                cursor.execute(text, values or None)
        return _Open(connection)

    def _out_of_line(self, spec: Spec) -> bool:
        return "big" in spec.columns and bool(self._database.sql(f"SELECT 1 FROM `{spec.name}` WHERE big IS NOT NULL"))

    def add_column(self, spec: Spec) -> None:
        self._database.sql(f"ALTER TABLE `{spec.name}` ADD COLUMN added text")

    def idle(self) -> None:
        self._number += 1
        self._database.sql(
            "CREATE TABLE IF NOT EXISTS not_ours (v text)", f"INSERT INTO not_ours VALUES ('{self._number}')"
        )

    def confirmed(self) -> str:
        raise AssertionError("nothing is kept for a reader")

    def elsewhere(self, identity: Identity) -> Identity:
        """A server's name is not what tells it: a fail-over has another. Its product does."""
        return replace(identity, product="another")

    def sequence(self, name: str, value: int) -> None:
        self._database.sql(f"ALTER TABLE items MODIFY id bigint AUTO_INCREMENT, AUTO_INCREMENT = {value + 1}")

    def rows(self, spec: Spec) -> Rows:
        return rows(self._database, spec)


class _Open:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def commit(self) -> None:
        self._connection.commit()
        self._connection.close()


class MysqlSinkCase(SinkCase):
    """In a database called `menu`, by way of a proxy that can read what passes."""

    has = frozenset[str]()

    def __init__(self, database: MySQLDatabase, proxy: Proxy, policy: Policy = STOP) -> None:
        self._database = database
        self._proxy = proxy
        self._policy = policy

    def sink(self) -> MysqlSink:
        url = self._proxy.url(self._database.target_url) + "?ssl-mode=DISABLED"
        return MysqlSink(lambda: url, "menu", refused=self._policy)

    def table(self, spec: Spec) -> Table:
        columns = tuple(
            Column(name, number, LogicalType(family), TYPES[family], 0, name not in spec.key)
            for number, (name, family) in enumerate(spec.columns.items(), 1)
        )
        return Table("menu", spec.name, columns, spec.key, primary=spec.key, references=spec.references)

    def readable(self, form: RowForm) -> RowForm | None:
        takes = [field.takes.get("pg-text:*") or field.takes["pg-text:int8"] for field in form.fields]
        return replace(form, fields=tuple(Field({TEXT: take}) for take in takes))

    def wire(self, value: str) -> Any:
        return value.encode()

    def rows(self, spec: Spec) -> Rows:
        return rows(self._database, spec)

    def add_unique(self, spec: Spec) -> None:
        for unique in spec.unique:
            parts = ", ".join(f"`{name}`(100)" for name in unique)
            self._database.sql(f"ALTER TABLE `{spec.name}` ADD UNIQUE ({parts})")

    def sequence(self, name: str, value: int) -> None:
        raise AssertionError("no sequences")

    def next_value(self, name: str) -> int:
        raise AssertionError("no sequences")

    def newer_version(self) -> None:
        self._database.admin("UPDATE cdcd.version SET version = 999")

    def lose_next_commit(self) -> None:
        self._proxy.drop_answer_of(r"(^|; )COMMIT\b")

    def request(self, command: str, argument: str) -> int:
        text = "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES ('menu', %s, %s)"
        self._database.admin(text, command, argument)
        return int(self._database.admin("SELECT MAX(id) FROM cdcd.requests")[0][0])

    def crash(self) -> None:
        self._database.server.kill()
        self._database.server.launch()
