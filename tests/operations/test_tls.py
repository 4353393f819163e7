"""TLS as a careful user asks for it: verified, and the check that failed is named."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.following import Cdcd, arrives, words
from tests.equality import assert_equal, wait_equal
from tests.servers import Database, make_roles, run
from tests.servers.database import make_source
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.failure("OP-07")


def _certificate(directory: Path, name: str, host: str) -> Path:
    """A certificate that is its own authority, and its key, which the servers' user may read."""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
         "-out", str(certificate), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate.chmod(0o644)
    key.chmod(0o600)
    run.give(key)
    return certificate


@pytest.fixture(scope="module")
def places() -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    return run.place("tls")


@pytest.fixture(scope="module")
def server(places: Path) -> Iterator[Postgres]:
    """It calls itself localhost, and speaks TLS 1.3 only."""
    certificate = _certificate(places, "server", "localhost")
    settings = {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": certificate.with_suffix(".key")}
    settings["ssl_min_protocol_version"] = "TLSv1.3"
    with Postgres.start(15, settings=settings) as started:
        make_roles(started)
        yield started


@pytest.fixture
def source(server: Postgres) -> Iterator[Database]:
    database = make_source(server)
    database.sql("CREATE TABLE t (id int PRIMARY KEY, body text)")
    database.sql("INSERT INTO t SELECT i, repeat(md5(i::text), 50) FROM generate_series(1, 500) i")
    yield database
    database.drop()


def _asked(source: Database, host: str, **parameters: object) -> str:
    url = source.url.replace("@127.0.0.1:", f"@{host}:")
    return url + "?" + "&".join(f"{name}={value}" for name, value in parameters.items())


def test_verified_and_a_certificate_that_is_renewed(
    source: Database, server: Postgres, target_db: Database, places: Path, cdcd: Cdcd
) -> None:
    """The load and the stream; the file of authorities is read again at the next connect."""
    trusted = places / "trusted.crt"
    shutil.copy(places / "server.crt", trusted)
    url = _asked(source, "localhost", sslmode="verify-full", sslrootcert=trusted)
    daemon = cdcd(*words(source, target_db, source_url=url))
    daemon.wait_said("stream started")
    arrives(daemon, source, target_db, "INSERT INTO t VALUES (1000, 'a')", "SELECT 1 FROM t WHERE id = 1000")
    used = "SELECT DISTINCT s.version FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = %s"
    assert source.admin(used, source.role) == [("TLSv1.3",)]
    _certificate(places, "server", "localhost")
    shutil.copy(places / "server.crt", trusted)
    server.reload()
    server.terminate("usename = %s", source.role)
    arrives(daemon, source, target_db, "INSERT INTO t VALUES (1001, 'b')", "SELECT 1 FROM t WHERE id = 1001")
    daemon.stop()
    assert_equal(source, target_db, ["public.t"])


def test_a_stream_of_all_kinds_of_changes(source: Database, target_db: Database, places: Path, cdcd: Cdcd) -> None:
    """libpq reads what is encrypted: many small messages, one of megabytes, transactions far behind and close by."""
    _certificate(places, "server", "localhost")
    server = source.server
    assert isinstance(server, Postgres)
    server.reload()
    url = _asked(source, "localhost", sslmode="verify-full", sslrootcert=places / "server.crt")
    told = cdcd("check", *words(source, target_db, source_url=url)[1:], "--json")
    told.wait(0)
    assert "PG-TLS" not in told.output.read_text()
    daemon = cdcd(*words(source, target_db, source_url=url))
    daemon.wait_said("stream started")
    sender = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_replication r USING (pid) WHERE r.usename = %s"
    assert source.admin(sender, source.role) == [(True,)]
    source.sql("INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1000, 20000) i")
    source.sql("UPDATE t SET id = -id WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0")
    source.sql("INSERT INTO t SELECT 100000, string_agg(md5(i::text), '') FROM generate_series(1, 150000) i")
    source.sql("UPDATE t SET id = 100001 WHERE id = 100000")  # the large value is not sent again
    session = source.connect()
    with session.cursor() as cursor:
        for number in range(500):
            cursor.execute("UPDATE t SET body = %s WHERE id = %s", (f"small {number}", number))
    session.close()
    wait_equal(source, target_db, ["public.t"], 60)
    source.sql("TRUNCATE t")
    arrives(daemon, source, target_db, "INSERT INTO t VALUES (1, 'after')", "SELECT 1 FROM t WHERE body = 'after'")
    daemon.stop()
    assert_equal(source, target_db, ["public.t"])


def test_another_host_an_unknown_authority_and_a_certificate_that_is_over(
    source: Database, server: Postgres, target_db: Database, places: Path, cdcd: Cdcd
) -> None:
    wrong_host = _asked(source, "127.0.0.1", sslmode="verify-full", sslrootcert=places / "server.crt")
    told = cdcd(*words(source, target_db, "--until", "caught-up", "--patience", "0", source_url=wrong_host)).wait(4)
    assert "does not match host name" in told
    stranger = _certificate(places, "stranger", "localhost")
    unknown = _asked(source, "localhost", sslmode="verify-full", sslrootcert=stranger)
    told = cdcd(*words(source, target_db, "--until", "caught-up", "--patience", "0", source_url=unknown)).wait(4)
    assert "certificate verify failed" in told
    certificate = _certificate(places, "server", "localhost")
    signed = ["-signkey", str(certificate.with_suffix(".key")), "-days", "-1", "-out", str(certificate)]
    subprocess.run(["openssl", "x509", "-in", str(certificate), *signed], check=True, capture_output=True)
    server.reload()
    over = _asked(source, "localhost", sslmode="verify-full", sslrootcert=places / "server.crt")
    told = cdcd(*words(source, target_db, "--until", "caught-up", "--patience", "0", source_url=over)).wait(4)
    assert "certificate verify failed" in told  # libpq says no more
    missing = _asked(source, "localhost", sslmode="verify-full", sslrootcert=places / "no-such-file")
    told = cdcd(*words(source, target_db, source_url=missing)).wait(2)
    assert "no-such-file" in told
    assert target_db.sql("SELECT 1 FROM pg_class WHERE relname = 't'") == []
