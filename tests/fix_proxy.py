"""Fixtures that put a proxy between cdcd and a server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.servers import Server
from tests.servers.proxy import Proxy


@pytest.fixture
def make_proxy() -> Iterator[Callable[[Server], Proxy]]:
    """Makes proxies to servers; they end with the test."""
    with ExitStack() as open_ones:

        def make(server: Server) -> Proxy:
            return open_ones.enter_context(Proxy(server.host, server.port))

        yield make


@pytest.fixture
def source_proxy(source_server: Server, make_proxy: Callable[[Server], Proxy]) -> Proxy:
    """A proxy to the server of `source_db`: `source_proxy.url(source_db.url)`."""
    return make_proxy(source_server)


@pytest.fixture
def target_proxy(target_server: Server, make_proxy: Callable[[Server], Proxy]) -> Proxy:
    """A proxy to the server of `target_db`."""
    return make_proxy(target_server)
