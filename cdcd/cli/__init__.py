"""The command `cdcd`: its table of commands, and how every error and exit code leaves the process."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from cdcd import __version__
from cdcd.cli.check import check
from cdcd.cli.config import config
from cdcd.cli.cutover import cutover
from cdcd.cli.drop import drop
from cdcd.cli.help import Stages
from cdcd.cli.plan import plan
from cdcd.cli.reload import reload
from cdcd.cli.retry import retry
from cdcd.cli.run import run
from cdcd.cli.sequences import sequences
from cdcd.cli.skip import skip
from cdcd.cli.status import status
from cdcd.cli.tail import tail
from cdcd.cli.validate import validate
from cdcd.errors import CdcdError, Interrupted, UsageError
from cdcd.secrets import hide

STAGES: dict[str, tuple[Callable[..., Any], ...]] = {
    "Look": (check, plan, config),
    "Move": (run, status, validate, reload, tail),
    "End": (sequences, cutover, drop),
    "Repair": (retry, skip),
}
"""The stages of a migration, and the commands that belong to each: one file each, in this order in --help."""

COMMANDS = tuple(command for its in STAGES.values() for command in its)

EPILOG = (
    "Exit codes: 0 done, equal, or stopped by a signal; 1 failed, trying again may help; 2 usage or configuration; "
    "3 a check found an error; 4 a server is unreachable; 5 differences; 6 stopped until a person acts."
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    code = 1
    try:
        code = int(app()(words or ["--help"], prog_name="cdcd", standalone_mode=False) or 0)
    except (KeyboardInterrupt, Interrupted, typer.Abort):
        code = 0
    except BrokenPipeError:
        # Whoever read us has enough; Python would complain once more when it flushes stdout.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115
        code = 0
    except CdcdError as error:
        code = _tell(error, words)
    except TyperException as error:
        command = f"cdcd {words[0]}" if words and words[0] in {made.__name__ for made in COMMANDS} else "cdcd"
        code = _tell(UsageError(error.format_message().rstrip("."), hint=f"see {command} --help"), words)
    except Exception as error:
        _tell(CdcdError(f"{type(error).__name__}: {error}", why="this is a bug in cdcd", hint="report it"), words)
        sys.stderr.write(hide(traceback.format_exc()))
    sys.exit(code)


def app() -> typer.Typer:
    """All commands. Completion for bash, zsh and fish comes with it: --install-completion."""
    made = typer.Typer(
        name="cdcd",
        cls=Stages,
        help="Copy a database, follow every change, and apply it elsewhere, exactly once.",
        epilog=EPILOG,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @made.callback()
    def top(
        version: Annotated[
            bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
        ] = False,
    ) -> None: ...

    for stage, commands in STAGES.items():
        for command in commands:
            made.command(rich_help_panel=stage)(command)
    return made


def _version(asked: bool) -> None:
    if asked:
        print(f"cdcd {__version__}")
        raise typer.Exit(0)


def _tell(error: CdcdError, words: Sequence[str]) -> int:
    """The error on stderr, as text or as one line of JSON; its exit code."""
    if "--json" in words:
        told = {
            "kind": error.name, "what": error.what, "why": error.why, "do": error.hint,
            "where": {name: str(value) for name, value in error.where.items()},
            "exit_code": error.exit_code, "retryable": error.retryable,
        }
        text = json.dumps({"version": 1, "error": _hidden(told)}, ensure_ascii=False)
    else:
        text = hide(f"cdcd: {error}")
    print(text, file=sys.stderr)
    return error.exit_code


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hidden(inner) for key, inner in value.items()}
    return hide(value) if isinstance(value, str) else value
