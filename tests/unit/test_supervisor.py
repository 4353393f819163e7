"""Several pipelines in one daemon: each in a process of its own, one's end none of the others' business."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.unit.commands import Cdcd
from tests.unit.populated import SECRET


def pipeline(name: str, deed: str = "", more: str = "") -> str:
    return f'[[pipeline]]\nname = "{name}"\nfrom = "busy://a/{deed}"\nto = "memory://b"\n{more}\n'


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_gone(pids: list[int], limit: float) -> None:
    until = time.monotonic() + limit
    while any(map(alive, pids)):
        assert time.monotonic() < until, "a child lives on"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("deeds", "code"), [(["", ""], 0), (["", "fenced"], 6), (["bug", ""], 1), (["bug", "fenced"], 6)]
)
def test_the_worst_code_when_all_have_ended(cli: Cdcd, deeds: list[str], code: int) -> None:
    file = cli.file("".join(pipeline(f"p{n}", deed) for n, deed in enumerate(deeds)))
    done = cli.run("run", "-c", file, "--until", "caught-up", "--json")
    assert done.returncode == code, done.stderr
    told = {one["name"]: one for one in json.loads(done.stdout)["pipelines"]}
    for number, deed in enumerate(deeds):
        if not deed:
            assert told[f"p{number}"]["load_rows"] == 10
            assert told[f"p{number}"]["exit_code"] == 0
    assert SECRET not in done.stderr + done.stdout


@pytest.mark.failure("T-DB-9")
def test_one_that_stops_leaves_the_others_running(cli: Cdcd) -> None:
    file = cli.file(pipeline("good") + pipeline("bad", "fenced"))
    with cli.running("run", "-c", file) as running:
        running.wait_said("exit_code=6")
        running.wait_said("consistent")
        time.sleep(0.5)
        assert running.process.poll() is None
        running.process.terminate()
        assert running.wait() == 0


@pytest.mark.failure("OP-09")
def test_a_crash_is_started_again_with_a_pause_that_grows(cli: Cdcd) -> None:
    file = cli.file(pipeline("good") + pipeline("bad", "bug"))
    with cli.running("run", "-c", file) as running:
        running.wait_said("again_in=", times=3, limit=30)
        pauses = [float(part.split()[0]) for part in running.text.split("again_in=")[1:4]]
        assert 0.5 <= pauses[0] <= 1 <= pauses[1] <= 2 <= pauses[2] <= 4
        running.process.terminate()
        assert running.wait() == 0


def test_a_child_that_is_killed_comes_again(cli: Cdcd) -> None:
    file = cli.file(pipeline("one") + pipeline("two"))
    with cli.running("run", "-c", file) as running:
        running.wait_said("consistent", times=2)
        os.kill(children(running.process.pid)[0], signal.SIGKILL)
        running.wait_said("restarts=1")
        running.wait_said("consistent", times=3)
        running.process.terminate()
        assert running.wait() == 0


def test_no_child_outlives_its_supervisor(cli: Cdcd) -> None:
    file = cli.file(pipeline("one") + pipeline("two"))
    with cli.running("run", "-c", file) as running:
        running.wait_said("consistent", times=2)
        left = children(running.process.pid)
        assert len(left) == 2
        running.process.kill()
        wait_gone(left, 10)


@pytest.mark.slow
def test_a_second_signal_takes_the_children_along(cli: Cdcd) -> None:
    file = cli.file(pipeline("one", "hang") + pipeline("two", "hang"))
    with cli.running("run", "-c", file) as running:
        running.wait_said("checking", times=2)
        left = children(running.process.pid)
        running.process.terminate()
        time.sleep(0.5)
        running.process.terminate()
        assert running.wait(2) == 0
        wait_gone(left, 2)


@pytest.mark.slow
@pytest.mark.failure("OP-10")
def test_within_ten_seconds_whatever_its_children_do(cli: Cdcd) -> None:
    file = cli.file(pipeline("one", "hang") + pipeline("two"))
    with cli.running("run", "-c", file) as running:
        running.wait_said("consistent")
        begun = time.monotonic()
        running.process.terminate()
        assert running.wait(12) == 0
        assert time.monotonic() - begun < 10


def test_http_tells_of_all(cli: Cdcd) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    file = cli.file(f'[http]\nlisten = "{listen}"\n' + pipeline("good") + pipeline("bad", "fenced"))
    with cli.running("run", "-c", file) as running:
        running.wait_said("exit_code=6")
        running.wait_said("consistent")
        time.sleep(1.5)
        with urlopen(f"http://{listen}/status", timeout=5) as answer:
            told = {one["name"]: one for one in json.load(answer)["pipelines"]}
        assert told["good"]["consistent"] is True
        assert told["bad"]["running"] is False
        assert told["bad"]["sentence"].startswith("stopped until a person acts (exit 6): ")
        with urlopen(f"http://{listen}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        assert 'cdcd_up{pipeline="bad"} 0.0' in text
        assert 'cdcd_up{pipeline="good"} 1.0' in text


@pytest.mark.failure("OP-04")
def test_systemd_is_told(cli: Cdcd, tmp_path: Path) -> None:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    door.bind(str(tmp_path / "notify"))
    door.settimeout(10)
    cli.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
    with door, cli.running("run", "-c", cli.file(pipeline("one") + pipeline("two"))) as running:
        assert door.recv(4096) == b"READY=1"
        assert door.recv(4096).startswith(b"WATCHDOG=1\nSTATUS=one: ")
        running.wait_said("consistent", times=2)
        running.process.terminate()
        heard = b""
        while heard != b"STOPPING=1":
            heard = door.recv(4096)
        assert running.wait() == 0
