"""How every session with a server begins: the URL, encryption, the settings that values depend on, time-outs."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pymysql

from cdcd.errors import UsageError
from connectors.mysql.errors import translate
from connectors.mysql.login import Connection, log_in, socket_of

MODES = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
"""As `--ssl-mode` of the servers' own clients. PREFERRED takes encryption where the server has it, from anybody."""

PARAMETERS = ("ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "connect-timeout")

SESSION: Mapping[str, str] = MappingProxyType(
    {
        "time_zone": "'+00:00'",
        # Neither PAD_CHAR_TO_FULL_LENGTH, which makes values, nor what changes how our own statements are read.
        "sql_mode": "''",
        "autocommit": "1",
        # A stream or a load that waits for its target is not dead (T-MY-15).
        "net_write_timeout": "28800",
        "net_read_timeout": "28800",
        "wait_timeout": "28800",
        "lock_wait_timeout": "2",
        # SHOW CREATE TABLE is read by ourselves.
        "sql_quote_show_create": "1",
    }
)
"""What every session sets; the values are SQL."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says."""

    host: str
    port: int
    user: str
    password: str
    database: str
    parameters: Mapping[str, str]

    def __str__(self) -> str:
        """`host:port/database`, for messages: never user or password."""
        return f"{self.host}:{self.port}/{self.database}"


def parse(url: str) -> Address:
    """mysql://user:password@host:port/database?ssl-mode=…; UsageError says what is wrong, never with the password."""
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
    except ValueError:
        raise UsageError(
            "a MySQL URL cannot be read",
            why="its form is mysql://user:password@host:port/database?parameter=value",
            hint="write special characters of user and password percent-encoded, as %40 for @",
        ) from None
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(parameters) - set(PARAMETERS))
    if unknown:
        raise UsageError(f"a MySQL URL has no parameter {unknown[0]!r}", hint=f"known: {', '.join(PARAMETERS)}")
    mode = parameters.get("ssl-mode", "PREFERRED").upper().replace("-", "_")
    if mode not in MODES:
        raise UsageError(f"there is no ssl-mode {mode!r}", hint=f"known: {', '.join(MODES)}")
    return Address(
        parts.hostname or "127.0.0.1",
        port,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(parts.path.removeprefix("/")),
        {**parameters, "ssl-mode": mode},
    )


def connect(url: str, *, settings: Mapping[str, str] | None = None, flags: int = 0) -> Connection:
    """A session under SESSION (and `settings`), in autocommit; raises the errors of cdcd.errors. `flags`: capabilities
    of the protocol that are asked for besides PyMySQL's own."""
    address = parse(url)
    wanted = {**SESSION, **(settings or {})}
    statement = "SET " + ", ".join(f"SESSION {name} = {value}" for name, value in wanted.items())
    arguments: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password": address.password.encode(),  # text would be sent as latin1
        "database": address.database or None,
        "charset": "utf8mb4",
        "connect_timeout": int(address.parameters.get("connect-timeout", "10")),
        "init_command": statement,
        "autocommit": True,
        "client_flag": flags,
        "program_name": "cdcd",
    }
    try:
        encrypted, preferred = _encryption(address)
        made = log_in({**arguments, **encrypted}, preferred)
    except RuntimeError as error:  # a library that PyMySQL would need for it
        raise UsageError(
            "the user logs in by a plugin that cdcd does not have",
            why=str(error),
            hint="ALTER USER … IDENTIFIED WITH caching_sha2_password, at MariaDB IDENTIFIED VIA mysql_native_password",
            server=str(address),
        ) from None
    except (pymysql.err.MySQLError, OSError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):  # to try again would not help
            raise UsageError(
                "the server's certificate is not one that ssl-mode takes",
                why=str(error.args[-1]),
                hint="have ssl-ca name the authority's certificate, and the URL the host that the server's is made for",
                server=str(address),
            ) from None
        raise translate(error, server=str(address)) from None
    _keep_alive(socket_of(made))
    return made


def _encryption(address: Address) -> tuple[dict[str, Any], ssl.SSLContext | None]:
    """PyMySQL's arguments for the URL's `ssl-…` parameters, and the context where it is only preferred."""
    given = address.parameters
    mode = given["ssl-mode"]
    if mode == "DISABLED":
        return {"ssl_disabled": True}, None
    verifies, authority = mode.startswith("VERIFY"), given.get("ssl-ca")
    if not verifies and not any(name in given for name in ("ssl-ca", "ssl-cert", "ssl-key")):
        return ({}, _taking_anybody()) if mode == "PREFERRED" else ({"ssl": _taking_anybody()}, None)
    try:
        made = ssl.create_default_context(cafile=authority)
        made.check_hostname = mode == "VERIFY_IDENTITY"
        made.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
        if "ssl-cert" in given:
            made.load_cert_chain(given["ssl-cert"], given.get("ssl-key"))
    except OSError as error:
        raise UsageError(f"a certificate of the URL cannot be read: {error}", server=str(address)) from None
    return {"ssl": made}, None


@cache
def _taking_anybody() -> ssl.SSLContext:
    """Encrypts, and does not ask who is there."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def _keep_alive(line: socket.socket) -> None:
    """A peer that vanished without a word is noticed within a minute."""
    if line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60000)):
        if (number := getattr(socket, option, None)) is not None:
            line.setsockopt(socket.IPPROTO_TCP, number, value)
