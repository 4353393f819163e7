"""A pipeline between two databases of a test: the engine's task in a thread, its ends built as cdcd builds them."""

from __future__ import annotations

import threading
from typing import Any

from cdcd.engine.options import Options, Outcome
from cdcd.engine.task import Task
from cdcd.errors import CdcdError
from cdcd.model.selection import Selection
from cdcd.progress import Progress
from connectors.postgres.position import parse_lsn
from connectors.postgres.sink import PostgresSink
from connectors.postgres.source import PostgresSource
from tests.equality import assert_equal
from tests.servers.database import Database
from tests.waiting import wait_until


class Running:
    """Runs within `with`. `source_url`, `target_url`: where they are not the databases' own. `binary`, `group_bytes`,
    `target_tables`, `commit_sync` are the ends' options, all others the engine's."""

    def __init__(
        self,
        source: Database,
        target: Database,
        *,
        source_url: str | None = None,
        target_url: str | None = None,
        binary: bool = True,
        group_bytes: int = 4 << 20,
        target_tables: str = "create",
        commit_sync: bool = False,
        tables: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        self.source = source
        self.target = target
        self.name = source.name
        self.progress = Progress(name=self.name)
        self.failure: BaseException | None = None
        self.outcome: Outcome | None = None
        # An idle place is stored soon, so that `caught_up` need not wait for the usual ten seconds.
        chosen = {"idle_seconds": 0.1, "table_poll": 0.0, **options}
        source_url, target_url = source_url or source.url, target_url or target.url

        def connect() -> tuple[Any, Any]:
            return (
                PostgresSource(source_url, self.name, binary=binary, group_bytes=group_bytes, status_seconds=0.5),
                PostgresSink(lambda: target_url, self.name, target_tables=target_tables, commit_sync=commit_sync),
            )

        self.task = Task(Options(self.name, selection=Selection(tables), **chosen), connect, self.progress)
        self._thread = threading.Thread(target=self._run, name=f"pipeline {self.name}", daemon=True)

    def _run(self) -> None:
        try:
            self.outcome = self.task.run()
        except BaseException as failure:
            self.failure = failure

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.task.abort()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the pipeline does not end"

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def check(self) -> None:
        """Fail with what the pipeline failed with."""
        if self.failure is not None:
            raise self.failure
        assert self.running, f"the pipeline ended: {self.outcome}"

    def streaming(self, limit: float = 30) -> Running:
        """Until the load is done and the slot is read."""

        def streams() -> bool:
            self.check()
            return self.progress.consistent and self.progress.phase in ("catching up", "streaming")

        wait_until(streams, limit, f"{self.name} to stream; it is {self.progress.phase}")
        return self

    def caught_up(self, limit: float = 30) -> Running:
        """Until all that the source has flushed by now is durable at the target."""
        self.streaming(limit)
        ((head,),) = self.source.admin("SELECT pg_current_wal_flush_lsn()::text")
        goal = parse_lsn(head)

        def there() -> bool:
            self.check()
            return parse_lsn(self.progress.durable_position) >= goal

        wait_until(there, limit, f"{self.name} to reach {head}; {self.progress.last_error}")
        return self

    def equal(self, *tables: str, limit: float = 30) -> Running:
        """Until it has caught up; then the servers compare the tables."""
        self.caught_up(limit)
        assert_equal(self.source, self.target, tables)
        return self

    def ended(self, limit: float = 30) -> Outcome:
        """Until it ends by itself; raises what it ended with."""
        self._thread.join(limit)
        assert not self._thread.is_alive(), f"the pipeline goes on: {self.progress.phase}"
        if self.failure is not None:
            raise self.failure
        assert self.outcome is not None
        return self.outcome

    def stop(self) -> Outcome:
        """As SIGTERM does."""
        self.task.stop()
        return self.ended()

    def stopped_by(self, kind: type[CdcdError], limit: float = 30) -> CdcdError:
        """Until it ends with an error of this kind; the error."""
        self._thread.join(limit)
        assert not self._thread.is_alive(), f"the pipeline goes on: {self.progress.phase}"
        if not isinstance(self.failure, kind):
            raise AssertionError(f"ended with {self.failure!r}, {self.outcome}") from self.failure
        return self.failure
