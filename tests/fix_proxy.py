"""Fixtures that put a proxy between cdcd and a server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.servers import Server
from tests.servers.messages import Session
from tests.servers.mysql import MySQL
from tests.servers.mysql_messages import Packets
from tests.servers.proxy import Proxy


@pytest.fixture
def make_proxy() -> Iterator[Callable[[Server | MySQL], Proxy]]:
    """Makes proxies to servers; they end with the test."""
    with ExitStack() as open_ones:

        def make(server: Server | MySQL) -> Proxy:
            speaks = Packets if isinstance(server, MySQL) else Session
            return open_ones.enter_context(Proxy(server.host, server.port, speaks))

        yield make


@pytest.fixture
def source_proxy(source_server: Server, make_proxy: Callable[[Server], Proxy]) -> Proxy:
    """A proxy to the server of `source_db`: `source_proxy.url(source_db.url)`."""
    return make_proxy(source_server)


@pytest.fixture
def target_proxy(target_server: Server, make_proxy: Callable[[Server], Proxy]) -> Proxy:
    """A proxy to the server of `target_db`."""
    return make_proxy(target_server)
