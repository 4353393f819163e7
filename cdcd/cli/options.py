"""The options that commands share, and how they become pipelines: `--from/--to/…`, or `-c FILE [PIPELINE…]`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cdcd.config import Config, HttpSettings, LogSettings, Objects, Pipeline, from_options, read_file
from cdcd.errors import UsageError
from cdcd.log import configure, get_logger
from cdcd.secrets import Address

log = get_logger("cli")

_URL = "${NAME} in it is replaced from the environment."

From = Annotated[str | None, typer.Option("--from", metavar="URL", help=f"The source. {_URL}")]
To = Annotated[str | None, typer.Option("--to", metavar="URL", help=f"The target. {_URL}")]
Tables = Annotated[
    list[str] | None,
    typer.Option("--tables", metavar="PATTERN", help="schema.table with * and ?; ! in front excludes. Repeatable."),
]
Name = Annotated[
    str | None, typer.Option("--name", help="The pipeline's name. [default: the source's database]", show_default=False)
]
Around = Annotated[
    Objects | None,
    typer.Option(
        "--objects", help="tables: with what they need. all: views, functions, triggers, grants too, by pg_dump."
    ),
]
File = Annotated[
    Path | None, typer.Option("-c", "--config", metavar="FILE", help="Take pipelines from this TOML file.")
]


def _names(ctx: typer.Context, incomplete: str) -> list[str]:
    """For the shell, which asks at each TAB: the pipelines of the file that was named before; no mistake is told."""
    try:
        raw = tomllib.loads(Path(str(ctx.params.get("file"))).read_text(encoding="utf-8"))
        names = [str(one["name"]) for one in raw["pipeline"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [name for name in names if name.startswith(incomplete) and name not in (ctx.params.get("pipelines") or ())]


Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="PIPELINE", help="With -c: only these.", show_default=False, autocompletion=_names),
]
One = Annotated[
    str | None,
    typer.Argument(metavar="PIPELINE", help="With -c: which one.", show_default=False, autocompletion=_names),
]
Json = Annotated[bool, typer.Option("--json", help="Write versioned JSON instead of text.")]


def chosen(
    file: Path | None, names: list[str] | None, options: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> Config:
    """What the command line chose, its secrets at hand. `options` describe one pipeline; `overrides` go with a file
    too."""
    config = described(file, names, options, overrides)
    require_secrets(config)
    return config


def require_secrets(config: Config) -> None:
    for pipeline in config.pipelines:
        pipeline.source.require_secret()
        pipeline.target.require_secret()


def described(
    file: Path | None, names: list[str] | None, options: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> Config:
    """The same, without a look at files of passwords."""
    given = {key: value for key, value in options.items() if value not in (None, [])}
    over = {key: value for key, value in (overrides or {}).items() if value not in (None, False)}
    if file is None:
        if names:
            raise UsageError(f"'{names[0]}' is not expected here", hint="name pipelines together with -c FILE")
        if "from" not in given or "to" not in given:
            missing = " and ".join(f"--{key}" for key in ("from", "to") if key not in given)
            raise UsageError(f"{missing} missing", hint="give --from URL --to URL, or -c FILE")
        pipeline = from_options({**given, **over})
        warn_of_bare_passwords(pipeline.source, pipeline.target)
        return Config((pipeline,), HttpSettings(), LogSettings())
    if given:
        raise UsageError(
            f"--{next(iter(given)).replace('_', '-')} does not go with -c",
            why="with a file, the file describes the pipelines",
        )
    config = read_file(file, over, names or ())
    return Config(config.pick(names or (), str(file)), config.http, config.log)


def only(config: Config) -> Pipeline:
    """The one pipeline that a command like reload or drop is about."""
    if len(config.pipelines) != 1:
        known = ", ".join(pipeline.name for pipeline in config.pipelines)
        raise UsageError("which pipeline?", why=f"the file has several: {known}", hint="name one after -c FILE")
    return config.pipelines[0]


def start_log(config: Config, json: bool, one: bool = True) -> None:
    """As the file says; --json makes it JSON."""
    pipeline = config.pipelines[0].name if one and len(config.pipelines) == 1 else None
    configure(json or config.log.format == "json", config.log.level, pipeline)


def http(listen: str | None, config: Config, supervised: bool = False) -> HttpSettings:
    """--http HOST:PORT stands over the file's; a supervised process leaves it to its supervisor."""
    if supervised:
        return config.http.model_copy(update={"listen": None})
    if listen is None:
        return config.http
    try:
        return HttpSettings(listen=listen, stuck_after=config.http.stuck_after)
    except ValueError:
        raise UsageError(f"--http {listen} is not HOST:PORT", hint="write for example 127.0.0.1:9187") from None


def warn_of_bare_passwords(*addresses: Address) -> None:
    """Those that stand in a command line, where everybody on this machine can read them."""
    for address in addresses:
        if address.bare_password:
            log.warning(
                "the password on the command line is visible in ps",
                option=address.key,
                instead=f"{address.key} '{address.scheme}://user:${{PASSWORD}}@host/database', with PASSWORD exported",
            )
