"""Commands as people and scripts meet them: words, exit codes, what goes to stdout and what to stderr."""

import inspect
import json
import re
import shlex
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from typer.main import get_command

from cdcd import __version__
from cdcd.cli import COMMANDS, STAGES, app, main
from tests.unit.commands import Cdcd
from tests.unit.populated import SECRET

MEMORY = ("--from", "memory://a", "--to", "memory://b", "--name", "shop")
ENDS = ("--from", "busy://a", "--to", "memory://b", "--name", "shop")


@dataclass
class Said:
    returncode: int | str | None
    stdout: str
    stderr: str


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command in this process, which is quick; it must not get as far as to start something."""

    def run(*words: str) -> Said:
        with pytest.raises(SystemExit) as left:
            main(words)
        out, err = capsys.readouterr()
        return Said(left.value.code, out, err)

    return run


Say = Callable[..., Said]


def test_version(cli: Cdcd) -> None:
    assert cli.run("--version").stdout == f"cdcd {__version__}\n"


def test_without_words_it_helps(say: Say) -> None:
    done = say()
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"  {command.__name__} " in done.stdout
    assert "Exit codes" in done.stdout


def test_help_has_the_stages_of_a_migration(say: Say) -> None:
    told = say("--help").stdout
    at = [told.index(f"{stage}:\n") for stage in STAGES]
    assert at == sorted(at)
    ends = [*at[1:], len(told)]
    for commands, start, end in zip(STAGES.values(), at, ends, strict=True):
        for command in commands:
            assert f"\n  {command.__name__} " in told[start:end]


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_help_teaches(say: Say, command: str) -> None:
    """What it does, an example, and what it exits with."""
    done = say(command, "--help")
    assert done.returncode == 0
    assert re.search(rf"Example:\n(    .*\n)*?    cdcd {command} ", done.stdout)
    assert re.search(r"Exit code \d", done.stdout)


EXAMPLES = [
    (command.__name__, line.strip())
    for command in COMMANDS
    for line in (inspect.getdoc(command) or "").splitlines()
    if line.startswith("  cdcd ")
]


@pytest.mark.parametrize(("command", "example"), EXAMPLES)
def test_each_example_parses(command: str, example: str) -> None:
    words = shlex.split(example.partition("|")[0], comments=True)[1:]
    group = get_command(app())
    context = group.make_context("cdcd", words)
    name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
    found.make_context(name, rest, parent=context)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runn"], "did you mean 'run'"),
        (["run", "--form", "x"], "--from"),
        (["run", "--from", "busy://a"], "--to missing"),
        (["run", "shop"], "-c FILE"),
        (["run", "-c", "nowhere.toml"], "cannot be read"),
        (["run", "-c", "nowhere.toml", "--from", "busy://a"], "does not go with -c"),
        (["run", "--from", "memmory://a", "--to", "memory://b", "--name", "x"], "did you mean memory://?"),
        (["run", "--from", "memory://a", "--to", "memory://b"], "--name"),
        (["run", *ENDS, "--load", "all"], "'all' is not one of"),
        (["run", *ENDS, "--from-now"], "load = 'skip'"),
        (["run", *ENDS, "--chunk-bytes", "many"], "64 MB"),
        (["run", *ENDS, "--tables", "t"], "schema.table"),
        (["run", *MEMORY, "--http", "9187"], "HOST:PORT"),
        (["run", *MEMORY, "--http", "256.0.0.1:1"], "cannot listen on"),
        (["run", "--from", "memory://${NOPE}@a", "--to", "memory://b", "--name", "x"], "NOPE is not set"),
        (["tail", "shop"], "URL: not a URL: shop"),
        (["tail", "memmory://a"], "URL: there is no connector"),
        (["status", "--from", "busy://a"], "--to missing"),
    ],
)
def test_wrong_words_end_with_2_and_say_what_to_do(say: Say, words: list[str], said: str) -> None:
    done = say(*words)
    assert done.returncode == 2, done.stderr
    assert said.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_errors_as_json(say: Say) -> None:
    done = say("run", "--json")
    told = json.loads(done.stderr)
    assert told["version"] == 1
    assert told["error"]["kind"] == "UsageError"
    assert told["error"]["exit_code"] == done.returncode == 2
    assert "--from URL" in told["error"]["do"]


def test_a_finite_run_tells_its_outcome(cli: Cdcd) -> None:
    done = cli.run("run", *ENDS, "--until", "caught-up")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("shop: caught up; 10 rows")


def test_its_outcome_as_json(cli: Cdcd) -> None:
    done = cli.run("run", *ENDS, "--load", "only", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["version"] == 1
    assert told["pipelines"][0]["outcome"] == "consistent"
    assert told["pipelines"][0]["load_rows"] == 10
    for line in done.stderr.splitlines():
        assert json.loads(line)["pipeline"] == "shop"


@pytest.mark.failure("OP-13")
@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize(("deed", "code"), [("fenced", 6), ("bug", 1)])
def test_no_secret_in_what_is_said_of_a_failure(cli: Cdcd, deed: str, code: int, more: list[str]) -> None:
    ends = ["--from", f"busy://u:{SECRET}@a/{deed}", "--to", f"memory://u:{SECRET}@b", "--name", "shop"]
    done = cli.run("run", *ends, *more)
    assert done.returncode == code, done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert ("bug in cdcd" in done.stderr) == (deed == "bug")
    assert "visible in ps" in done.stderr


def test_an_interruption_that_nobody_asked_for_is_no_success(cli: Cdcd) -> None:
    ends = ["--from", "busy://a/interrupted", "--to", "memory://b", "--name", "shop"]
    done = cli.run("run", *ends, "--until", "caught-up", "--patience", "0")
    assert done.returncode == 1
    assert "broken off" in done.stderr and "cut" in done.stderr


def test_what_a_server_cannot_explain_is_tried_some_times(cli: Cdcd) -> None:
    """It may pass; it may never: then a person is asked."""
    done = cli.run("run", "--from", "busy://a/unexplained", "--to", "memory://b", "--name", "shop")
    assert done.returncode == 6
    assert done.stderr.count("trying again") == 3
    assert "cache lookup failed" in done.stderr and "4 times on end" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.failure("OP-10")
def test_a_signal_ends_it_with_0(cli: Cdcd, number: signal.Signals) -> None:
    with cli.running("run", *ENDS) as running:
        running.wait_said("consistent")
        running.process.send_signal(number)
        assert running.wait(5) == 0
        assert "shop: stopped" in running.text


@pytest.mark.slow
@pytest.mark.failure("OP-10")
def test_within_ten_seconds_whatever_hangs(cli: Cdcd) -> None:
    with cli.running("run", "--from", "busy://a/hang", "--to", "memory://b", "--name", "shop") as running:
        running.wait_said("checking")
        begun = time.monotonic()
        running.process.terminate()
        assert running.wait(12) == 0
        assert time.monotonic() - begun < 10


def test_a_second_signal_ends_it_at_once(cli: Cdcd) -> None:
    with cli.running("run", "--from", "busy://a/hang", "--to", "memory://b", "--name", "shop") as running:
        running.wait_said("checking")
        running.process.terminate()
        time.sleep(0.5)
        begun = time.monotonic()
        running.process.terminate()
        assert running.wait(5) == 0
        assert time.monotonic() - begun < 1


def test_drop_asks_first(say: Say) -> None:
    done = say("drop", *ENDS, "--force")
    assert done.returncode == 2
    assert "--yes" in done.stderr


def test_drop_forgets(cli: Cdcd) -> None:
    done = cli.run("drop", *ENDS, "--force", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"version": 1, "pipeline": "shop", "dropped": ["source", "target"]}


def test_tail_prints_nothing_but_lines(cli: Cdcd) -> None:
    done = cli.run("tail", "busy://a", "--until", "caught-up", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for line in done.stderr.splitlines():
        assert json.loads(line)


def test_tail_says_that_a_named_slot_stays(cli: Cdcd) -> None:
    with cli.running("tail", "busy://a", "--slot", "s1") as running:
        running.wait_said("up to date")
        running.process.terminate()
        assert running.wait(5) == 0
        assert "the slot stays" in running.text
