"""Real servers for the tests, the demo and the benchmarks: where they come from, start and stop."""

from tests.servers.address import Server
from tests.servers.database import Database
from tests.servers.origin import obtain
from tests.servers.postgres import Postgres
from tests.servers.roles import make_roles

__all__ = ["Database", "Postgres", "Server", "make_roles", "obtain"]
