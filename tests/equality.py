"""Whether two tables hold the same rows, each an equal number of times: computed by the servers, not by us.

Rows are compared as the text that the server itself makes of them, so 1.0 and 1.00 differ, and json has
an equality. Rows are unordered; doubles count.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any, Protocol

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import quote_ident

from tests.servers.address import Rows, Server, connect
from tests.waiting import wait_until

SETTINGS = """
SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET bytea_output = 'hex';
SET extra_float_digits = 3; SET xmlbinary = 'base64'; SET lc_monetary = 'C'; SET search_path = pg_catalog
"""
SHOWN = 10


class Side(Protocol):
    """What is compared: a database of a test."""

    @property
    def server(self) -> Server: ...
    @property
    def name(self) -> str: ...
    @property
    def admin_url(self) -> str: ...


class Look:
    """A session at a side, made at the first question, and made anew once it has been ended. Close it."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._connection: psycopg2.extensions.connection | None = None

    def ask(self, text: str, params: Sequence[object] | None = None) -> Rows:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self.side.admin_url)
            self._connection.cursor().execute(SETTINGS)
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(text, params)
                return cursor.fetchall() if cursor.description else []
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            self.close()
            raise

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns, in order."""
        found = self.ask(
            "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            _split(table),
        )
        if not found:
            raise AssertionError(f"{self.side.name} has no table {table}")
        return [row[0] for row in found]

    def rows(self, table: str, names: Sequence[str]) -> str:
        """A query for the rows of a table as text, one column named r; children by inheritance are tables of their
        own."""
        found = self.ask(
            "SELECT format('%%s%%I.%%I', CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, n.nspname, c.relname)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
            _split(table),
        )
        if not found:
            raise AssertionError(f"{self.side.name} has no table {table}")
        return f"SELECT ROW({self.quoted(*names)})::text AS r FROM {found[0][0]}"

    def quoted(self, *names: str) -> str:
        assert self._connection is not None
        return ", ".join(quote_ident(name, self._connection) for name in names)

    def digest(self, table: str, names: Sequence[str]) -> tuple[Any, ...]:
        return self.ask(
            "SELECT count(*), sum(hashtextextended(r, 0)::numeric), sum(hashtextextended(r, 17)::numeric)"
            f" FROM ({self.rows(table, names)}) t",
        )[0]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _split(table: str) -> tuple[str, str]:
    schema, _, name = table.rpartition(".")
    return schema or "public", name


def columns(side: Side, table: str) -> list[str]:
    """The names of a table's columns, in order."""
    with closing(Look(side)) as look:
        return look.columns(table)


def digest(side: Side, table: str, names: Sequence[str] | None = None) -> tuple[Any, ...]:
    """How many rows, and two sums of their hashes, which no order of rows changes."""
    with closing(Look(side)) as look:
        return look.digest(table, names or look.columns(table))


def differences(source: Side, target: Side, table: str, target_table: str | None = None) -> list[str]:
    """Rows that one side holds more often than the other, "-" for missing and "+" for too many; [] if equal.

    The source's columns are compared; the target may have more of them.
    """
    other = target_table or table
    with closing(Look(source)) as here, closing(Look(target)) as there:
        names = here.columns(table)
        if here.digest(table, names) == there.digest(other, names):
            return []
        wanted = Counter(row[0] for row in here.ask(here.rows(table, names)))
        found = Counter(row[0] for row in there.ask(there.rows(other, names)))
    missing = [f"- {row}" for row in sorted((wanted - found).elements())]
    surplus = [f"+ {row}" for row in sorted((found - wanted).elements())]
    return missing + surplus


def assert_equal(source: Side, target: Side, tables: Iterable[str]) -> None:
    """Fail with the first differing rows of each table that differs."""
    said = []
    for table in tables:
        found = differences(source, target, table)
        if found:
            missing = sum(row.startswith("-") for row in found)
            said.append(f"{table}: {missing} rows missing, {len(found) - missing} too many")
            said += [f"  {row[:300]}" for row in found[:SHOWN]]
    assert not said, f"{target.name} is not equal to {source.name}\n" + "\n".join(said)


def wait_equal(source: Side, target: Side, tables: Sequence[str], limit: float = 30) -> None:
    """Wait until the tables are there and equal; fail as `assert_equal` does."""

    def alike(table: str) -> bool:
        names = here.columns(table)
        return here.digest(table, names) == there.digest(table, names)

    def equal() -> bool:
        try:
            return all(map(alike, tables))
        except (AssertionError, psycopg2.Error):
            return False

    try:
        with closing(Look(source)) as here, closing(Look(target)) as there:
            wait_until(equal, limit, what=f"{', '.join(tables)} to be equal", every=0.1)
    except AssertionError:
        assert_equal(source, target, tables)


def except_all(source: Side, target: Side, table: str) -> tuple[Rows, Rows]:
    """Rows only at the source and only at the target, by EXCEPT ALL both ways on the target's server.

    The target reads the source through postgres_fdw, every column as the text that the source sends.
    """
    with closing(Look(source)) as at_source, closing(Look(target)) as at_target:
        names = at_source.columns(table)
        fields = ", ".join(f"{at_source.quoted(name)} text" for name in names)
        there = f"SELECT ROW({at_source.quoted(*names)})::text AS r FROM cdcd_equality.there"
        here = at_target.rows(table, names)
    schema, name = _split(table)
    connection = connect(target.admin_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(SETTINGS)
            cursor.execute("BEGIN; CREATE SCHEMA cdcd_equality")
            cursor.execute("CREATE EXTENSION postgres_fdw SCHEMA cdcd_equality")
            cursor.execute(
                "CREATE SERVER cdcd_equality FOREIGN DATA WRAPPER postgres_fdw"
                " OPTIONS (host %s, port %s, dbname %s)",
                (source.server.host, str(source.server.port), source.name),
            )
            cursor.execute(
                "CREATE USER MAPPING FOR CURRENT_USER SERVER cdcd_equality OPTIONS (user %s, password %s)",
                (source.server.user, source.server.password),
            )
            cursor.execute(
                f"CREATE FOREIGN TABLE cdcd_equality.there ({fields}) SERVER cdcd_equality"
                " OPTIONS (schema_name %s, table_name %s)",
                (schema, name),
            )
            cursor.execute(f"{there} EXCEPT ALL {here}")
            missing = cursor.fetchall()
            cursor.execute(f"{here} EXCEPT ALL {there}")
            surplus = cursor.fetchall()
            cursor.execute("ROLLBACK")
    finally:
        connection.close()
    return missing, surplus
