"""The two servers, their least privileged roles, and what is in the source before anything is copied."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from tests.servers import Database, Postgres, make_roles
from tests.servers.database import make_source, make_target
from tests.servers.roles import APP, PASSWORDS

SQL = Path(__file__).with_name("sql")
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB"}


@dataclass(frozen=True, slots=True)
class TableName:
    """A table, as its name is written in SQL and for people."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return ".".join('"' + part.replace('"', '""') + '"' for part in (self.schema, self.name))


class World:
    """Two PostgreSQL 18 servers of our own, which end with the `with` block, or with this process."""

    def __init__(self) -> None:
        self._servers: list[Postgres] = []

    def start(self) -> None:
        """Start both. The application owns its tables; cdcd has a role at each end that is no superuser."""
        for _ in range(2):
            server = Postgres.start(18, SETTINGS)
            self._servers.append(server)
            make_roles(server)
        self.source: Database = make_source(self._servers[0], "shop")
        self.target: Database = make_target(self._servers[1], "shop_copy")

    def fill(self, scale: int) -> None:
        """pgbench's tables, and a schema that is awkward on purpose."""
        subprocess.run(
            [*self.pgbench, "--initialize", "--quiet", f"--scale={scale}"],
            env=self.environment, check=True, capture_output=True,
        )
        self.source.sql((SQL / "schema.sql").read_text(encoding="utf-8"))

    @property
    def pgbench(self) -> list[str]:
        """The command, as the application's role; needs `environment`."""
        server = self._servers[0]
        return [str(server.bin / "pgbench"), "-h", server.host, "-p", str(server.port), "-U", APP,
                self.source.name]

    @property
    def environment(self) -> dict[str, str]:
        """Ours, with the passwords that no command line should show."""
        return {
            **os.environ, "PGPASSWORD": PASSWORDS[APP],
            "SOURCE_PASSWORD": quote(PASSWORDS[self.source.role], safe=""),
            "TARGET_PASSWORD": quote(PASSWORDS[self.target.role], safe=""),
        }

    @staticmethod
    def address(database: Database, password: str) -> str:
        """A URL whose password cdcd takes from the environment variable of that name."""
        server = database.server
        return f"postgresql://{database.role}:${{{password}}}@{server.host}:{server.port}/{database.name}"

    def tables(self) -> list[TableName]:
        """The source's tables, partitioned ones once."""
        found = self.source.admin(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition"
            " AND n.nspname !~ '^(pg_|information_schema$)' ORDER BY 1 DESC, 2"
        )
        return [TableName(*row) for row in found]

    def rows(self, database: Database) -> int:
        """All rows of the tables that are in `database` already."""
        there = [t for t in self.tables() if database.admin("SELECT to_regclass(%s)", t.quoted)[0][0]]
        if not there:
            return 0
        counts = " + ".join(f"(SELECT count(*) FROM {table.quoted})" for table in there)
        return int(database.admin(f"SELECT {counts}")[0][0])

    def size(self) -> int:
        """Bytes of the source database."""
        return int(self.source.admin("SELECT pg_database_size(current_database())")[0][0])

    def version(self) -> str:
        return self._servers[0].version

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.remove()
