"""A connector for a `cdcd` process of its own: `busy://NAME/DEED` is a memory server with one table and a few rows.

The deed happens when the source is first asked who it is: `hang` never answers and hears nothing, `fenced` stops for a
person, `bug` is one, `interrupted` says that somebody wanted it, `unexplained` always fails alike; any other does
nothing.
"""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from cdcd.connector import SinkOptions, SourceOptions
from cdcd.errors import Fenced, Interrupted, Unexplained
from cdcd.model.position import Identity
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.memory import MemoryServer, MemorySink, MemorySource
from connectors.memory import connector as memory

SECRET = "canary-secret"

TABLE = Table(
    "public",
    "t",
    (
        Column("id", 1, LogicalType("int64"), "bigint", nullable=False),
        Column("x", 2, LogicalType("text"), "text"),
    ),
    key=("id",),
    primary=("id",),
)


class Source(MemorySource):
    def __init__(self, server: MemoryServer, name: str, deed: str) -> None:
        super().__init__(server, name)
        self._deed = deed

    def identity(self) -> Identity:
        match self._deed:
            case "hang":
                while True:
                    time.sleep(3600)
            case "fenced":
                raise Fenced(f"busy://u:{SECRET}@h/d is another's", why=f"password={SECRET}", url=f"x://u:{SECRET}@h")
            case "interrupted":
                raise Interrupted("cut")
            case "unexplained":
                raise Unexplained("cache lookup failed")
            case "bug":
                raise ZeroDivisionError(f"busy://u:{SECRET}@h/d")
        return super().identity()


def source(url: Callable[[], str], name: str, options: SourceOptions) -> Source:
    parts = urlsplit(url())
    server = memory.server(f"memory://{parts.hostname}")
    if not server.heaps:
        server.create(TABLE)
        session = server.connect("application")
        for number in range(10):
            session.insert(TABLE.id, (str(number), "x"))
        session.commit()
        session.close()
    return Source(server, name, parts.path.strip("/"))


def sink(url: Callable[[], str], name: str, options: SinkOptions) -> MemorySink:
    return MemorySink(memory.server(f"memory://{urlsplit(url()).hostname}"), name)
