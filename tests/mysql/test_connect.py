"""Encryption and log-in, as the URL asks for them: the same function connects every session of either end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pymysql
import pytest

from cdcd.errors import UsageError
from connectors.mysql.ask import rows
from connectors.mysql.connect import connect
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase

TLS = "SHOW SESSION STATUS LIKE 'Ssl_version'"


def version(url: str) -> str:
    with closing(connect(url)) as connection:
        return str(rows(connection, TLS)[0][1])


@pytest.mark.failure("OP-07")
def test_modes_of_encryption(mysql_servers: Callable[..., MySQL]) -> None:
    """Of a MySQL, whose certificate names no host; MariaDB 10.11 has none by itself."""
    mysql, mariadb = mysql_servers("mysql"), mysql_servers("mariadb")
    assert version(mysql.url() + "?ssl-mode=DISABLED") == ""
    trusted = f"&ssl-ca={mysql.data / 'ca.pem'}"
    for more in ("", "?ssl-mode=PREFERRED", "?ssl-mode=REQUIRED", "?ssl-mode=VERIFY_CA" + trusted):
        assert version(mysql.url() + more).startswith("TLS"), more
    for more in ("?ssl-mode=VERIFY_CA", "?ssl-mode=VERIFY_IDENTITY" + trusted):
        with pytest.raises(UsageError, match="certificate") as told:
            version(mysql.url() + more)
        assert "ssl-ca" in told.value.hint
    assert version(mariadb.url()) == version(mariadb.url() + "?ssl-mode=DISABLED") == ""
    with pytest.raises(UsageError, match="SSL"):
        version(mariadb.url() + "?ssl-mode=REQUIRED")


def test_a_password_that_the_server_has_not_seen_yet(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> None:
    """caching_sha2_password asks for the whole password, by RSA where the line is not encrypted; then it knows it."""
    database = mysql_on(mysql_servers("mysql"))
    for mode in ("DISABLED", "REQUIRED"):
        database.server.execute("FLUSH PRIVILEGES")
        for _ in range(2):
            assert bool(version(f"{database.url}?ssl-mode={mode}")) == (mode == "REQUIRED")


def test_a_plugin_that_is_not_there(mysql_servers: Callable[..., MySQL], monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyMySQL raises for ed25519 without its library, in the place where it asks for the password's answer."""
    server = mysql_servers("mariadb")

    def scramble(password: Any, message: Any) -> bytes:
        made: bytes = pymysql._auth.ed25519_password(password, message)  # type: ignore[attr-defined]
        return made

    monkeypatch.setattr("pymysql._auth.scramble_native_password", scramble)
    with pytest.raises(UsageError, match="plugin") as told:
        connect(server.url())
    assert "ed25519" in told.value.why and "IDENTIFIED VIA" in told.value.hint
