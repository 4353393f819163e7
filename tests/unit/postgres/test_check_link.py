"""A session with a server elsewhere that is not verified is told of; with one on this machine it is not."""

from __future__ import annotations

import pytest

from connectors.postgres.check_link import unverified


@pytest.mark.failure("OP-07")
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u@db.example.org/shop", "prefer"),
        ("postgresql://u@db.example.org/shop?sslmode=require", "require"),
        ("postgresql://u@db.example.org/shop?sslmode=verify-ca", "verify-ca"),
        ("postgresql://u@db.example.org/shop?sslmode=verify-full", None),
        ("postgresql://u@10.0.0.7/shop", "prefer"),
        ("postgresql://u@127.0.0.1,10.0.0.7/shop", "prefer"),
        ("postgresql://u@127.0.0.1:5433/shop", None),
        ("postgresql://u@[::1]/shop", None),
        ("postgresql://u@localhost/shop", None),
        ("postgresql:///shop?host=/var/run/postgresql", None),
        ("postgresql:///shop", None),
    ],
)
def test_sslmode(url: str, told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGSSLMODE", "PGHOST"):
        monkeypatch.delenv(name, raising=False)
    found = list(unverified(url, "PG-TLS"))
    if told is None:
        assert found == []
        return
    assert [(finding.id, finding.level) for finding in found] == [("PG-TLS", "warning")]
    assert f"sslmode = {told}" in found[0].evidence
    assert "sslmode=verify-full" in found[0].mend


def test_the_environment_speaks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert list(unverified("postgresql://u@db.example.org/shop", "PT-TLS")) == []
    monkeypatch.delenv("PGSSLMODE")
    monkeypatch.setenv("PGHOST", "db.example.org")
    assert [finding.id for finding in unverified("postgresql:///shop", "PT-TLS")] == ["PT-TLS"]
