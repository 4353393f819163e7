"""Secrets: found in every place they may stand, resolved at each connect, shown nowhere."""

from pathlib import Path

import pytest

from cdcd.errors import Unreachable, UsageError
from cdcd.secrets import Address, expand, hide

SECRET = "canary-secret"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://u:{SECRET}@h/d",
        f"cannot reach postgresql://u:{SECRET}@h:5432/d?x=1, retrying",
        f"postgresql://u:{SECRET}@with@at@h/d",
        f"postgresql://:{SECRET}@h/d",
        f"postgresql://u:a/{SECRET}@h/d",
        f"host=h password={SECRET} dbname=d",
        f"host=h password = '{SECRET} x' dbname=d",
        f"postgresql://h/d?user=u&password={SECRET}&x=1",
        f"sslpassword={SECRET}",
        f"PGPASSWORD={SECRET}"[2:],
    ],
)
def test_hidden(text: str) -> None:
    assert SECRET not in hide(text)
    assert "***" in hide(text)


@pytest.mark.parametrize(
    "text", ["postgresql://u@h:5432/d", "12:34:56@noon", "the password is wrong", "postgresql://u:${PW}@h/d", "a://b"]
)
def test_left_alone(text: str) -> None:
    assert hide(text) == text


def test_expand() -> None:
    assert expand("a${X}b${Y_1}", "k", {"X": "1", "Y_1": "$2"}) == "a1b$2"
    assert expand("$X {X} $$", "k", {}) == "$X {X} $$"
    with pytest.raises(UsageError, match="k: the environment variable Z is not set"):
        expand("${Z}", "k", {})


def test_an_address_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", SECRET)
    for address in (Address(f"postgresql://u:{SECRET}@h/d"), Address("postgresql://u:${PW}@h/d")):
        assert SECRET in address.url()
        assert SECRET not in f"{address} {address!r} {address.shown}"


def test_what_was_resolved_is_hidden_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "a%2Fnother-secret")
    Address("postgresql://u:${PW}@h/d").url()
    assert hide("FATAL: no such thing: a/nother-secret!") == "FATAL: no such thing: ***!"


def test_a_password_that_is_an_ordinary_word_defaces_nothing() -> None:
    Address("postgresql://postgres:postgres@h/d").url()
    Address("postgresql://u:pw@h/d").url()
    assert hide("connectors.postgres pw") == "connectors.postgres pw"


@pytest.mark.failure("OP-06")
def test_the_file_is_read_at_each_connect(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    address = Address("postgresql://u@h:5432/d?sslmode=require", str(file))
    with pytest.raises(Unreachable, match="password file cannot be read"):
        address.url()
    file.write_text("p@ss/w:rd one\n")
    assert address.url() == "postgresql://u:p%40ss%2Fw%3Ard%20one@h:5432/d?sslmode=require"
    file.write_text("another")
    assert address.url() == "postgresql://u:another@h:5432/d?sslmode=require"


@pytest.mark.parametrize("breaks", ["x/{}", "1/{}", "x@{}", "{}@x", "x#{}", "1?{}", "[{}", "x:{}@y", "1?x={}"])
def test_a_password_that_breaks_the_url_is_not_shown(monkeypatch: pytest.MonkeyPatch, breaks: str) -> None:
    monkeypatch.setenv("PW", breaks.format(SECRET))
    for url in ("postgresql://u:${PW}@h/d", f"postgresql://u:{breaks.format(SECRET)}@h/d"):
        for ask in (Address.url, lambda address: address.database):
            with pytest.raises(UsageError) as caught:
                ask(Address(url))
            assert SECRET not in str(caught.value)
            assert "%2F" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:pw@h1:5432,h2:5433/d", "postgresql://u@[::1]:5432/d", "postgresql:///d?host=/tmp", "postgresql://h",
     "postgresql://%2Ftmp/d", "postgresql://u:a:b@h/d"],
)
def test_urls_that_are_fine(url: str) -> None:
    assert Address(url).url() == url


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("postgresql://u:pw@h/d", True),
        ("postgresql://u:${PW}@h/d", False),
        ("postgresql://u@h/d", False),
        ("postgresql://h/d?password=x", True),
        ("postgresql://h/d?password=${PW}", False),
        ("postgresql://h:5432/d", False),
    ],
)
def test_a_password_that_ps_shows(url: str, bare: bool) -> None:
    assert Address(url).bare_password is bare


@pytest.mark.parametrize(
    ("url", "database"),
    [("postgresql://h/shop", "shop"), ("postgresql://h/my%20shop", "my shop"), ("postgresql://h", ""),
     ("postgresql://h?dbname=x", "x")],
)
def test_its_database(url: str, database: str) -> None:
    assert Address(url).database == database
