"""The log: readable by people or programs, on stderr, and never with a password."""

import json
from collections.abc import Iterator

import pytest

from cdcd import log as logging
from cdcd.errors import Unreachable
from cdcd.secrets import Address

SECRET = "canary-secret"
URL = f"postgresql://u:{SECRET}@h/d"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    logging.configure()


@pytest.mark.failure("OP-13")
@pytest.mark.parametrize("as_json", [True, False])
def test_no_value_holds_a_password(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure(json=as_json)
    log = logging.get_logger("test")
    log.info(f"at {URL}", url=URL, address=Address(URL), deep={"a": [URL, (URL,)]}, n=1, no=None)
    log.info("failed", error=Unreachable(URL))
    try:
        raise ValueError(URL)
    except ValueError:
        log.exception("failed")
    out, err = capsys.readouterr()
    assert SECRET not in err
    assert err.count("***") >= 6
    assert "ValueError" in err
    assert out == ""


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure(json=True, pipeline="shop")
    logging.get_logger("test").warning("slot is slow", slot="s", bytes=5)
    told = json.loads(capsys.readouterr().err)
    assert told | {"timestamp": ""} == {
        "event": "slot is slow", "level": "warning", "part": "test", "pipeline": "shop", "slot": "s", "bytes": 5,
        "timestamp": "",
    }


def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure(level="warning")
    log = logging.get_logger("test")
    log.info("quiet")
    log.error("loud")
    assert "quiet" not in (err := capsys.readouterr().err)
    assert "loud" in err


def test_as_it_is_before_anybody_configures(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure()
    logging.get_logger("test").info("hello", url=URL)
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello" in err and SECRET not in err
