"""Two memory servers, a client, the engine between them, and somebody who watches every commit at the target."""

from __future__ import annotations

import threading

from cdcd.engine.options import Options
from cdcd.engine.task import Task
from connectors.memory import Faults, MemoryServer, MemorySink, MemorySource, Strike
from tests.sim.invariant import violations
from tests.sim.workload import ITEMS, LATE, LINES, Client
from tests.waiting import wait_until

PIPELINE = "sim"


class World:
    """`faults` counts and hits the calls of the engine's two ends at both servers, not the client's."""

    def __init__(
        self, seed: int, flush_every: int = 5, chunks_per_snapshot: int = 0, like: World | None = None
    ) -> None:
        self.faults: Faults = like.faults if like else Faults(whose="cdcd/")
        self.source: MemoryServer = like.source if like else MemoryServer("source", self.faults, flush_every)
        self.target: MemoryServer = like.target if like else MemoryServer("target", self.faults, flush_every)
        self.client = Client(self.source, seed)
        self.wrong: list[str] = like.wrong if like else []
        if not like:
            self.client.make_tables()
            self.target.watcher = self._watch
        self.failure: BaseException | None = None
        self._options = Options(
            PIPELINE, chunk_bytes=300, table_poll=0.05, chunks_per_snapshot=chunks_per_snapshot, idle_seconds=0.05
        )
        self.task = self._task()
        self._thread: threading.Thread | None = None

    def beside(self) -> World:
        """Another process, at the same servers."""
        return World(self.client.random.randrange(1000), like=self)

    def _task(self) -> Task:
        return Task(self._options, lambda: (self.read_end(), self.write_end()))

    def read_end(self) -> MemorySource:
        """Groups of few changes: a transaction of a dozen comes in pieces."""
        return MemorySource(self.source, PIPELINE, bound=200)

    def write_end(self) -> MemorySink:
        return MemorySink(self.target, PIPELINE)

    def _watch(self) -> None:
        self.wrong += violations(self.source, self.target, PIPELINE)

    # --- the engine ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """As a new process would: another owner."""
        self.task = self._task()
        self._thread = threading.Thread(target=self._run, args=(self.task,), name="engine")
        self._thread.start()

    def _run(self, task: Task) -> None:
        try:
            task.run()
        except BaseException as failure:
            self.failure = failure

    def stop(self) -> None:
        assert self._thread is not None
        self.task.stop()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the engine does not stop"

    def cut_off(self) -> None:
        """The network between the process and both servers is gone: sessions live on, and nobody hears of them."""
        for server in (self.source, self.target):
            with server.lock:
                for session in server.sessions:
                    if session.name.startswith("cdcd/"):
                        session.abandoned = True
                server.changed.notify_all()

    # --- the end ---------------------------------------------------------------------------------------------------

    def reload(self, table: str) -> None:
        self.write_end().wish("reload", table)

    def settle(self) -> None:
        """The client is done: wait until the target is equal, or the engine has given up."""
        self.faults.clear()
        self.source.settle()
        with self.source.lock:
            self.source.log.flush()
            self.source.changed.notify_all()

        def settled() -> bool:
            return self.failure is not None or bool(self.wrong) or self.equal()

        wait_until(settled, limit=20, what=f"source and target to be equal ({self.task.progress.sentence()})")

    def equal(self) -> bool:
        """All wishes done, all chunks in, and the same rows."""
        tables = [table.id for table in (ITEMS, LINES, LATE) if table.id in self.source.heaps]
        unread = [row for row in self.target.rows("cdcd.chunks") if row[4] != "in"]
        wishes = [row for row in self.target.rows("cdcd.requests") if row[4] is None]
        return not unread and not wishes and all(self.source.rows(table) == self.target.rows(table) for table in tables)

    def play(self, strike: tuple[int, Strike | str] | None = None, transactions: int = 25) -> None:
        """One story: load under way, changes, a table that joins, a reload, changes; and one misfortune at a
        call."""
        if strike is not None:
            self.faults.at(*strike)
        self.start()
        try:
            self.client.work(transactions, pause=0.004)
            self.client.add_table()
            wait_until(lambda: self.failure or self._loaded_once(), limit=20, what="the first load")
            self.reload(ITEMS.id)
            self.client.work(transactions, pause=0.004)
            self.settle()
        finally:
            self.stop()
        self.verify()

    def verify(self) -> None:
        """No engine that should have lived has ended, and all that was watched was right."""
        if self.failure is not None:
            raise self.failure
        assert not self.wrong, self.wrong[:3]
        assert self.equal()

    def _loaded_once(self) -> bool:
        return "cdcd.chunks" in self.target.heaps and any(row[4] == "in" for row in self.target.rows("cdcd.chunks"))
