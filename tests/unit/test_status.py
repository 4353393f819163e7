"""What is told over HTTP."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from cdcd.errors import UsageError
from cdcd.progress import Progress
from cdcd.status import serving

SECRET = "canary-secret"


@pytest.fixture
def told() -> list[dict[str, Any]]:
    progress = Progress(name="shop", phase="streaming", consistent=True, last_error=f"x://u:{SECRET}@h is away")
    return [progress.snapshot() | {"unhealthy": ""}]


@pytest.fixture
def address(told: list[dict[str, Any]]) -> Iterator[str]:
    with serving("127.0.0.1:0", lambda: told) as address:
        yield f"http://{address}"


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_all_is_well(address: str) -> None:
    assert get(address + "/healthz") == (200, "shop: ok\n")
    assert get(address + "/readyz") == (200, "shop: ok\n")
    assert 'cdcd_up{pipeline="shop"} 1.0' in get(address + "/metrics?x=1")[1]
    code, body = get(address + "/status")
    assert code == 200
    assert json.loads(body)["version"] == 1
    assert json.loads(body)["pipelines"][0]["sentence"].startswith("streaming: ")
    assert SECRET not in body


def test_unwell(address: str, told: list[dict[str, Any]]) -> None:
    told[0] |= {"unhealthy": "nothing has moved for 130 s", "phase": "waiting"}
    assert get(address + "/healthz") == (503, "shop: nothing has moved for 130 s\n")
    code, body = get(address + "/readyz")
    assert code == 503
    assert SECRET not in body


def test_one_that_stopped_for_a_person_is_not_ready_but_nothing_to_restart(
    address: str, told: list[dict[str, Any]]
) -> None:
    told.append(Progress(name="crm").snapshot() | {"running": False})
    assert get(address + "/healthz")[0] == 200
    assert get(address + "/readyz")[0] == 503


def test_nothing_else(address: str) -> None:
    assert get(address + "/etc/passwd")[0] == 404


def test_a_port_that_is_taken(address: str) -> None:
    with pytest.raises(UsageError, match="cannot listen on"), serving(address.removeprefix("http://"), list):
        pass
