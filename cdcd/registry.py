"""URL scheme → connector. Only what a configuration names is imported; third parties come in by an entry point.

A connector is a package with a module `connector` that holds what `Connector` lists. A third party's entry point, in
the group `cdcd.connectors`, has the scheme as its name and such a module as its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from cdcd.contracts import Sink, Source
from cdcd.errors import UsageError

CONNECTORS: Mapping[str, str] = {
    "memory": "connectors.memory.connector",
    "postgres": "connectors.postgres.connector",
    "postgresql": "connectors.postgres.connector",
}

GROUP = "cdcd.connectors"

Url = Callable[[], str]
"""The URL with its secrets, as of the moment it is asked: a connector asks at each connect."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a source may be told beyond its URL. `temporary`: what is made at the source ends with the session."""

    publication: str | None = None
    slot: str | None = None
    temporary: bool = False
    group_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What a sink may be told beyond its URL."""

    target_tables: str = "create"


class Connector(Protocol):
    """What a connector's module `connector` holds. One that only reads or only writes leaves the rest out."""

    def source(self, url: Url, name: str, options: SourceOptions) -> Source:
        """The source of pipeline `name`; connects to nothing yet."""
        ...

    def sink(self, url: Url, name: str, options: SinkOptions) -> Sink:
        """The sink of pipeline `name`; connects to nothing yet."""
        ...

    def status(self, url: Url, name: str) -> Mapping[str, Any] | None:
        """What the control tables say of a pipeline (cli/status.py lists the keys), None: nothing. Claims nothing."""
        ...

    def request(self, url: Url, name: str, command: str, argument: str) -> int:
        """Leave a wish for the pipeline's daemon in the control tables; its number. Claims nothing."""
        ...


def connector(scheme: str, key: str, needs: str) -> Connector:
    """The connector for URLs of `scheme`; for the error, `key` says where the URL stood, `needs` what it is to be."""
    module = CONNECTORS.get(scheme)
    try:
        if module is not None:
            found: Any = import_module(module)
        else:
            others = entry_points(group=GROUP, name=scheme)
            if not others:
                raise _unknown(scheme, key)
            found = next(iter(others)).load()
    except ImportError as error:
        raise UsageError(
            f"{key}: the connector for {scheme}:// cannot be loaded", why=str(error), hint="install what it names"
        ) from error
    if not hasattr(found, needs):
        raise UsageError(f"{key}: {scheme}:// cannot be used as a {needs}")
    return cast(Connector, found)


def schemes() -> list[str]:
    """Those that are known, third parties' included."""
    return sorted({*CONNECTORS, *(point.name for point in entry_points(group=GROUP))})


def _unknown(scheme: str, key: str) -> UsageError:
    known = schemes()
    close = get_close_matches(scheme, known, 1)
    return UsageError(
        f"{key}: there is no connector for {scheme}://",
        why="known: " + ", ".join(f"{name}://" for name in known),
        hint=f"did you mean {close[0]}://?" if close else "",
    )
