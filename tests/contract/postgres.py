"""The menu's cases of the PostgreSQL connector, on real servers, as the least privileged role."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import psycopg2.extensions
from psycopg2 import sql

from cdcd.contracts import Source
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from cdcd.rows import Field, Layout, RowForm
from connectors.memory.form import TEXT
from connectors.postgres.forms import TEXT as TEXT_FORM
from connectors.postgres.forms import escape
from connectors.postgres.sink import PostgresSink
from connectors.postgres.source import PostgresSource
from tests.contract.case import OpenTransaction, Rows, SinkCase, SourceCase
from tests.contract.changes import Change, Delete, Insert, Spec, Truncate, Update
from tests.servers import Database, Postgres
from tests.servers.proxy import Proxy

TYPES = {"int64": ("bigint", 20), "text": ("text", 25)}
"""Family → the type's name and OID."""


def name_of(spec: Spec) -> sql.Composable:
    return sql.Identifier("menu", spec.name)


def ddl(spec: Spec) -> sql.Composable:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(TYPES[family][0]))
        for name, family in spec.columns.items()
    ]
    if spec.key:
        columns.append(sql.SQL("PRIMARY KEY ({})").format(names(spec.key)))
    columns += [sql.SQL("UNIQUE ({})").format(names(unique)) for unique in spec.unique]
    return sql.SQL("CREATE TABLE {} ({})").format(name_of(spec), sql.SQL(", ").join(columns))


def names(of: tuple[str, ...]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, of))


def statement(change: Change) -> tuple[sql.Composable, tuple[Any, ...]]:
    """The change as SQL. Of equal rows without a key, one."""
    match change:
        case Insert(spec, row):
            places = sql.SQL(", ").join([sql.Placeholder()] * len(row))
            return sql.SQL("INSERT INTO {} VALUES ({})").format(name_of(spec), places), row
        case Update(spec, key, to):
            sets = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in to)
            text = sql.SQL("UPDATE {} SET {} WHERE {}").format(name_of(spec), sets, one_row(spec))
            return text, (*to.values(), *key)
        case Delete(spec, key):
            return sql.SQL("DELETE FROM {} WHERE {}").format(name_of(spec), one_row(spec)), key
        case Truncate(specs):
            return sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(name_of, specs))), ()


def one_row(spec: Spec) -> sql.Composable:
    named = spec.key or tuple(spec.columns)
    same = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in named)
    return sql.SQL("ctid = (SELECT ctid FROM {} WHERE {} LIMIT 1)").format(name_of(spec), same)


def rows(database: Database, spec: Spec) -> Rows:
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in spec.columns)
    connection = database.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", (spec.id,))
            if cursor.fetchone() == (None,):
                return []
            cursor.execute(sql.SQL("SELECT {} FROM {}").format(columns, name_of(spec)))
            return sorted(cursor.fetchall(), key=str)
    finally:
        connection.close()


class PostgresSourceCase(SourceCase):
    def __init__(self, database: Database) -> None:
        self._database = database
        self._name = f"menu_{database.name}"
        database.sql("CREATE SCHEMA menu")

    def form(self, table: Table) -> RowForm:
        columns = tuple(column.name for column in table.carried)
        fields = (Field({"pg-text:*": "esc(v)"}),) * len(columns)
        return RowForm(TEXT_FORM, table, columns, fields, Layout(b"", b"\t", b"\n", b"\\N"), {"esc": escape})

    def source(self, bound: int = 1 << 20) -> Source:
        # Its positions are its own, which the contract leaves opaque.
        return cast(Source, PostgresSource(self._database.url, self._name, group_bytes=bound))

    def create(self, spec: Spec) -> None:
        self._run((ddl(spec), ()))
        if "big" in spec.columns:
            self._database.sql(f"ALTER TABLE {spec.id} ALTER big SET STORAGE EXTERNAL")
        if not spec.key:
            self._database.sql(f"ALTER TABLE {spec.id} REPLICA IDENTITY FULL")

    def commit(self, *changes: Change) -> None:
        self.begin(*changes).commit()

    def begin(self, *changes: Change) -> OpenTransaction:
        return self._run(*map(statement, changes), commit=False)

    def _run(self, *statements: tuple[sql.Composable, tuple[Any, ...]], commit: bool = True) -> _Open:
        connection = self._database.connect()
        connection.autocommit = commit
        with connection.cursor() as cursor:
            for text, values in statements:
                cursor.execute(text, values or None)
                assert cursor.rowcount in (1, -1)
        if commit:
            connection.close()
        return _Open(connection)

    def add_column(self, spec: Spec) -> None:
        self._database.sql(f"ALTER TABLE {spec.id} ADD COLUMN added text")

    def idle(self) -> None:
        self._database.sql("CREATE TABLE IF NOT EXISTS not_ours (v text)")
        self._database.sql("INSERT INTO not_ours SELECT repeat('x', 1000) FROM generate_series(1, 100)")

    def confirmed(self) -> str:
        query = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s"
        return str(self._database.admin(query, f"cdcd_{self._name}")[0][0])

    def sequence(self, name: str, value: int) -> None:
        self._database.sql(f"CREATE SEQUENCE IF NOT EXISTS menu.{name}")
        self._database.sql(f"ALTER TABLE menu.items ALTER id SET DEFAULT nextval('menu.{name}')")
        self._database.sql(f"SELECT setval('menu.{name}', %s)", value)

    def rows(self, spec: Spec) -> Rows:
        return rows(self._database, spec)


class _Open:
    def __init__(self, connection: psycopg2.extensions.connection) -> None:
        self._connection = connection

    def commit(self) -> None:
        self._connection.commit()
        self._connection.close()


class PostgresSinkCase(SinkCase):
    def __init__(self, database: Database, proxy: Proxy) -> None:
        self._database = database
        self._proxy = proxy
        self._number = 0

    def sink(self) -> PostgresSink:
        return PostgresSink(lambda: self._proxy.url(self._database.url), "menu")

    def table(self, spec: Spec) -> Table:
        columns = tuple(
            Column(name, number, LogicalType(family), TYPES[family][0], TYPES[family][1], name not in spec.key)
            for number, (name, family) in enumerate(spec.columns.items(), 1)
        )
        return Table("menu", spec.name, columns, spec.key, primary=spec.key, references=spec.references)

    def readable(self, form: RowForm) -> RowForm | None:
        takes = [field.takes.get("pg-text:*") for field in form.fields]
        if None in takes:
            return None
        return replace(form, fields=tuple(Field({TEXT: take}) for take in takes if take is not None))

    def wire(self, value: str) -> Any:
        return value.encode()

    def rows(self, spec: Spec) -> Rows:
        return rows(self._database, spec)

    def add_unique(self, spec: Spec) -> None:
        for unique in spec.unique:
            self._database.sql(f"ALTER TABLE {spec.id} ADD UNIQUE ({', '.join(unique)})")

    def sequence(self, name: str, value: int) -> None:
        self._database.sql(f"CREATE SCHEMA IF NOT EXISTS menu; CREATE SEQUENCE menu.{name}")
        self._database.sql(f"SELECT setval('menu.{name}', %s)", value)

    def next_value(self, name: str) -> int:
        return int(self._database.sql(f"SELECT nextval('menu.{name}')")[0][0])

    def newer_version(self) -> None:
        self._database.sql("UPDATE cdcd.version SET version = 999")

    def lose_next_commit(self) -> None:
        self._proxy.drop_answer_of(r"(^|; )COMMIT\b")

    def request(self, command: str, argument: str) -> int:
        query = "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES ('menu', %s, %s) RETURNING id"
        return int(self._database.sql(query, command, argument)[0][0])

    def crash(self) -> None:
        server = self._database.server
        assert isinstance(server, Postgres), "only a server of the tests' own is killed"
        server.kill()
        server.launch()
