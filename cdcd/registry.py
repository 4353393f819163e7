"""URL scheme → connector. Only what a configuration names is imported; third parties come in by an entry point.

Its value is a module that holds what cdcd.connector lists. A third party's entry point, in the group
`cdcd.connectors`, has the scheme as its name and such a module as its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from cdcd.connector import Connector
from cdcd.errors import UsageError

CONNECTORS: Mapping[str, str] = {
    "jsonlines": "connectors.jsonlines.connector",
    "mariadb": "connectors.mysql.connector",
    "memory": "connectors.memory.connector",
    "mysql": "connectors.mysql.connector",
    "postgres": "connectors.postgres.connector",
    "postgresql": "connectors.postgres.connector",
}

GROUP = "cdcd.connectors"


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
    except ModuleNotFoundError as error:
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
