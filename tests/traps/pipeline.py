"""A pipeline of cdcd's own task, in a thread of the test, between two real databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import psycopg2

from cdcd.engine.options import Options
from cdcd.engine.task import Task
from cdcd.model.selection import Selection
from connectors.postgres.sink import PostgresSink
from connectors.postgres.source import PostgresSource
from tests.equality import wait_equal
from tests.servers.database import Database
from tests.traps.invariant import checkpoint
from tests.waiting import wait_until

E = TypeVar("E", bound=BaseException)


class Pipeline:
    """From a database to another, under the source's name, from `with` to its end. `tables` are patterns; `options`
    those of the engine and of the source."""

    def __init__(
        self, source: Database, target: Database, *tables: str, target_tables: str = "create", source_url: str = "",
        target_url: str = "", **options: Any,
    ) -> None:  # fmt: skip
        self.name = source.name
        self.source = source
        self.target = target
        given: dict[str, Any] = {"idle_seconds": 0.2, "table_poll": 0.1}
        given |= {field.name: options.pop(field.name) for field in fields(Options) if field.name in options}

        def connect() -> tuple[Any, Any]:
            source_end = self.make_source(source_url or source.url, **options)
            return source_end, self.make_sink(lambda: target_url or target.url, target_tables=target_tables)

        wanted = Options(name=self.name, selection=Selection(tables or ("public.*", "!public.other")), **given)
        self.task = Task(wanted, connect)
        self.progress = self.task.progress
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def make_source(self, url: str, **options: Any) -> Any:
        return PostgresSource(url, self.name, **options)

    def make_sink(self, url: Callable[[], str], **options: Any) -> Any:
        return PostgresSink(url, self.name, **options)

    def _run(self) -> None:
        try:
            self.task.run()
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Pipeline:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.task.stop()
        if kind is not None:
            self.task.abort()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the pipeline does not stop"
        if kind is None and self._error is not None:
            raise self._error

    def stopped_by(self, kind: type[E], limit: float = 30) -> E:
        """The error that it stops with."""
        wait_until(lambda: not self._thread.is_alive(), limit, "the pipeline to stop")
        error, self._error = self._error, None
        assert isinstance(error, kind), error
        return error

    def until(self, condition: Callable[[], Any], what: str, limit: float = 30) -> Any:
        """Wait for the condition; what ends the pipeline ends this too."""

        def seen() -> Any:
            if self._error is not None:
                raise self._error
            return condition()

        try:
            return wait_until(seen, limit, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the pipeline is {self.progress.sentence()}") from None

    def until_consistent(self) -> None:
        self.until(lambda: self.progress.consistent, "the pipeline to be consistent")

    @property
    def checkpoint(self) -> int:
        return checkpoint(self.target, self.name)

    def until_stored(self, place: int) -> None:
        """Until the target's checkpoint holds what was committed at `place` (see `sessions.commit`)."""
        self.until(lambda: self.checkpoint > place, f"the checkpoint to pass {place:X}")

    def caught_up(self, limit: float = 30) -> None:
        """Until the target is consistent, and holds all that is at the source now."""
        ((head,),) = self.source.admin("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
        self.until(lambda: self.progress.consistent and self.checkpoint >= head, "the pipeline to catch up", limit)

    def equal(self, *tables: str, limit: float = 30) -> None:
        """Catch up, and compare the tables by the servers themselves."""
        self.caught_up(limit)
        wait_equal(self.source, self.target, tables, limit)

    def reload(self, table: str) -> None:
        """Leave the wish, as `cdcd reload` does."""
        self.target.sql(
            "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES (%s, 'reload', %s)", self.name, table
        )

    def states(self, table: str) -> list[str]:
        """Of the table's chunks, by number; [] before it is carried."""
        text = "SELECT state FROM cdcd.chunks WHERE pipeline = %s AND table_id = %s ORDER BY number"
        try:
            return [row[0] for row in self.target.admin(text, self.name, table)]
        except psycopg2.errors.UndefinedTable:
            return []
