"""What the registry asks for: `memory://NAME` is a server of this process, made when it is first named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from cdcd.connector import SinkOptions, SourceOptions
from cdcd.errors import UsageError
from connectors.memory.server import MemoryServer
from connectors.memory.sink import MemorySink
from connectors.memory.source import MemorySource

SERVERS: dict[str, MemoryServer] = {}


def server(url: str) -> MemoryServer:
    """The server that the URL names."""
    name = urlsplit(url).netloc
    if not name:
        raise UsageError("a memory:// URL names a server", hint="write for example memory://source")
    return SERVERS.setdefault(name, MemoryServer(name))


def source(url: Callable[[], str], name: str, options: SourceOptions) -> MemorySource:
    if options.where or options.mask or options.failover:
        raise UsageError("a memory:// source knows no where, mask or failover")
    return MemorySource(server(url()), name, bound=options.group_bytes)


def sink(url: Callable[[], str], name: str, options: SinkOptions) -> MemorySink:
    return MemorySink(server(url()), name, policy="empty" if options.target_tables == "truncate" else "refuse")


def status(url: Callable[[], str], name: str) -> Mapping[str, Any] | None:
    return MemorySink(server(url()), name).status()


def request(url: Callable[[], str], name: str, command: str, argument: str) -> int:
    return MemorySink(server(url()), name).wish(command, argument)
