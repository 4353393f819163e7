"""How every session with a PostgreSQL server begins: the URL, the settings that values depend on, time-outs.

The same settings hold for replication, COPY and apply sessions of both ends: the name of a wire form promises
them (the manual's "Client Connection Defaults" and libpq's "Parameter Key Words").
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import psycopg2
import psycopg2.extensions

from cdcd.errors import UsageError
from connectors.postgres.errors import translate

Connection = psycopg2.extensions.connection

SESSION: Mapping[str, str] = MappingProxyType(
    {
        "TimeZone": "UTC",
        "DateStyle": "ISO,YMD",
        "IntervalStyle": "postgres",
        "extra_float_digits": "3",
        "bytea_output": "hex",
        "lc_monetary": "C",
        # What input functions depend on.
        "array_nulls": "on",
        "xmloption": "content",
        "standard_conforming_strings": "on",
        # Types' names are compared between the two ends.
        "quote_all_identifiers": "off",
        # Names print qualified, and nobody's function shadows a built-in one.
        "search_path": "",
        # NOTICE is chatter; a WARNING may be a lost change.
        "client_min_messages": "warning",
        # A hidden row is a lost row: reading under a policy is an error instead.
        "row_security": "off",
        # Each statement sees what was committed before it, locks and fences among it.
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        # A role's or database's defaults for people would end our long transactions.
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "lock_timeout": "0",
        # Questions to the catalogue look dear to the planner: compiling one took 1.2 s, where it takes 5 ms without.
        "jit": "off",
    }
)
"""What output functions and long transactions depend on, and how questions are planned, sent as startup options."""

LATER = ((140000, "idle_session_timeout"), (170000, "transaction_timeout"))
"""The other two such defaults, from which version on: as startup options an older server would refuse them."""

LINK: Mapping[str, str] = MappingProxyType(
    {
        "client_encoding": "UTF8",
        "keepalives": "1",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",
    }
)
"""A peer that vanished without a word is noticed within a minute."""


def startup_options(settings: Mapping[str, str]) -> str:
    """The `options` parameter: `-c name=value …`, with blanks and backslashes escaped."""
    pairs = (f"{name}={value}" for name, value in settings.items())
    return " ".join("-c " + pair.replace("\\", "\\\\").replace(" ", "\\ ") for pair in pairs)


def after_login(version: int) -> str | None:
    """The statement that a session of this version begins with; one, as a walsender of old takes no more at once."""
    calls = [f"set_config('{name}', '0', false)" for since, name in LATER if version >= since]
    return f"SELECT {', '.join(calls)}" if calls else None


def parameters(
    url: str,
    application_name: str,
    *,
    connect_timeout: int = 10,
    settings: Mapping[str, str] | None = None,
    **more: str,
) -> dict[str, str]:
    """libpq's parameters for `url` with ours on top; the user's own `options` stay where ours say nothing."""
    try:
        given = psycopg2.extensions.parse_dsn(url)
    except psycopg2.ProgrammingError:
        # libpq quotes the part it stumbled over, which may be the password: its words stay out.
        raise UsageError(
            "a PostgreSQL URL cannot be read",
            why="its form is postgresql://user:password@host:port/database?parameter=value",
            hint="write special characters of user and password percent-encoded, as %40 for @",
        ) from None
    ours = startup_options({**SESSION, **(settings or {})})
    options = f"{given.get('options', '')} {ours}".strip()
    given.setdefault("connect_timeout", str(connect_timeout))
    return {**given, **LINK, **more, "application_name": application_name, "options": options}


def connect(
    url: str,
    application_name: str,
    *,
    connect_timeout: int = 10,
    settings: Mapping[str, str] | None = None,
) -> Connection:
    """A session under SESSION (and `settings`), not in autocommit mode; raises the errors of cdcd.errors."""
    wanted = parameters(url, application_name, connect_timeout=connect_timeout, settings=settings)
    where = address(wanted)
    try:
        connection: Connection = psycopg2.connect(psycopg2.extensions.make_dsn(**wanted))
    except psycopg2.Error as error:
        raise translate(error, server=where) from None
    try:
        if (statement := after_login(connection.server_version)) is not None:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
            connection.autocommit = False
    except psycopg2.Error as error:
        connection.close()
        raise translate(error, server=where) from None
    return connection


def address(wanted: Mapping[str, str]) -> str:
    """`host:port/database`, for messages: never user or password."""
    host = wanted.get("host") or wanted.get("hostaddr") or "local"
    return f"{host}:{wanted.get('port', '5432')}/{wanted.get('dbname', '')}"
