"""How cdcd logs: structlog on stderr, lines for people or JSON, with passwords taken out of every value.

An event is a short sentence in lower case, its facts are named values: `log.info("slot created", slot=name)`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from cdcd.secrets import hide

Logger = FilteringBoundLogger
LEVELS = ("debug", "info", "warning", "error")


def get_logger(name: str) -> Logger:
    """The logger of one part: `log = get_logger("engine.writer")`, at a module's top."""
    return cast(Logger, structlog.get_logger(part=name))


def configure(json: bool = False, level: str = "info", pipeline: str | None = None) -> None:
    """Once per process. `pipeline` then stands in each line: a process runs one, in many threads."""

    def name_pipeline(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("pipeline", pipeline)
        return event

    chain: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if json else "%H:%M:%S", utc=json),
        # Plain tracebacks: the richer ones print local variables, and a URL may be among them.
        structlog.processors.format_exc_info,
        _redact,
    ]
    if pipeline is not None:
        chain.insert(0, name_pipeline)
    if json:
        chain.append(structlog.processors.JSONRenderer(ensure_ascii=False))
    else:
        colors = sys.stderr.isatty()
        chain.append(structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, pad_event_to=0))
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Stderr())),
        cache_logger_on_first_use=False,
    )


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _hidden(value) for key, value in event.items()}


def _hidden(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _hidden(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden(inner) for inner in value]
    return hide(str(value))


class _Stderr:
    """Whatever sys.stderr is at the moment of writing: the live display puts itself in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


# Importing a part must never make it log to stdout (structlog's default), where `tail` writes its data.
configure()
