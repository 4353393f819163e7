"""The replication connection: log in, ask, and be interruptible while waiting ("Streaming Replication Protocol").

psycopg2 is not used for it: its replication cursor acknowledges by itself (T-DE-1).
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator

import psycopg
from psycopg import pq

from cdcd.errors import CdcdError, Unreachable
from cdcd.wake import Wake
from connectors.postgres.connect import address, after_login, parameters
from connectors.postgres.errors import named
from connectors.postgres.wire import Wire, open_wire, result_error

SETTINGS = {"wal_sender_timeout": "60s"}
"""Some services switch it off, and a connection that was cut would then hold its slot for ever (PG-07)."""


class Session:
    """A connection through libpq alone whose every wait ends when `wake` is set."""

    def __init__(self, url: str, application_name: str, wake: Wake, *, replication: bool = True) -> None:
        more = {"gssencmode": "disable"}
        if replication:
            more["replication"] = "database"
        wanted = parameters(url, application_name, settings=SETTINGS if replication else None)
        # GSSAPI encrypts without libpq telling; only who asks for it gets it, and then libpq reads.
        self._plain = wanted.get("gssencmode", "disable") == "disable"
        wanted = {**more, **wanted}
        self.where = address(wanted)
        self._wake = wake
        self._wire: Wire | None = None
        self.conn = self._reach(wanted)
        if (statement := after_login(self.version)) is not None:
            self.run(statement)

    def _reach(self, wanted: dict[str, str]) -> pq.abc.PGconn:
        """The first of the hosts that answers, each in its own time: asynchronously, libpq waits for one for ever."""
        hosts = list(one_by_one(wanted))
        for one in hosts[:-1]:
            try:
                return self._login(one)
            except Unreachable:
                continue
        return self._login(hosts[-1])

    def _login(self, wanted: dict[str, str]) -> pq.abc.PGconn:
        deadline = time.monotonic() + max(2.0, float(wanted["connect_timeout"]))
        text = " ".join(f"{name}={_quote_parameter(value)}" for name, value in wanted.items())
        conn: pq.abc.PGconn = pq.PGconn.connect_start(text.encode())
        try:
            while conn.status != pq.ConnStatus.BAD:
                step = conn.connect_poll()
                if step == pq.PollingStatus.OK:
                    conn.nonblocking = 1
                    return conn
                if step == pq.PollingStatus.FAILED:
                    break
                events = select.POLLIN if step == pq.PollingStatus.READING else select.POLLOUT
                if not self._wake.wait(conn.socket, events, deadline - time.monotonic()):
                    raise Unreachable("the server did not answer in time", server=self.where)
            raise named(None, conn.get_error_message(), server=self.where)
        except BaseException:
            conn.finish()
            raise

    @property
    def version(self) -> int:
        return self.conn.server_version

    @property
    def pid(self) -> int:
        return self.conn.backend_pid

    def run(self, statement: str) -> list[list[str | None]]:
        """Send one statement or replication command and wait for its rows."""
        self.send(statement)
        while not self.poll(1.0):
            pass
        return self.answer()

    def run_binary(self, statement: str, oids: list[int], values: list[bytes]) -> list[list[str | None]]:
        """Run a statement with parameters of these types in their binary form."""
        self.send(statement, oids, values)
        return self.answer()

    def send(self, statement: str, oids: list[int] | None = None, values: list[bytes] | None = None) -> None:
        """The first half of `run`, for who has something to do meanwhile."""
        try:
            if values is None:
                self.conn.send_query(statement.encode())
            else:
                formats = [pq.Format.BINARY] * len(values)
                self.conn.send_query_params(statement.encode(), values, oids, formats, pq.Format.TEXT)
            while self.conn.flush():
                self._wake.wait(self.conn.socket, select.POLLOUT, 1.0)
        except psycopg.Error as error:
            raise self._ended(error) from error

    def poll(self, timeout: float) -> bool:
        """Whether the answer is there within `timeout` seconds."""
        try:
            if self.conn.is_busy() and self._wake.wait(self.conn.socket, select.POLLIN, timeout):
                self.conn.consume_input()
            return not self.conn.is_busy()
        except psycopg.Error as error:
            raise self._ended(error) from error

    def answer(self) -> list[list[str | None]]:
        """The rows of what was sent; raises what the server answered instead."""
        rows: list[list[str | None]] = []
        failure: CdcdError | None = None
        while True:
            while not self.poll(1.0):
                pass
            result = self.conn.get_result()
            if result is None:
                break
            if result.status == pq.ExecStatus.TUPLES_OK:
                rows = [
                    [_text(result.get_value(row, column)) for column in range(result.nfields)]
                    for row in range(result.ntuples)
                ]
            elif result.status != pq.ExecStatus.COMMAND_OK:
                failure = failure or result_error(result, self.conn)
            if self.conn.status == pq.ConnStatus.BAD:
                break
        if failure is not None:
            raise failure
        if self.conn.status == pq.ConnStatus.BAD:
            raise self._ended(None)
        return rows

    def wire(self, statement: str) -> Wire:
        """Start a COPY and hand its frames out; the session is good for nothing else afterwards."""
        self._wire = open_wire(self.conn, self._wake, self._plain)
        self._wire.start(statement)
        return self._wire

    def _ended(self, error: Exception | None) -> CdcdError:
        self._wake.check()
        return Unreachable(
            f"the connection to the server ended: {error or self.conn.get_error_message()}", server=self.where
        )

    def cancel(self) -> None:
        """Ask the server to give up what it is doing; a lock wait would outlive our connection (PG-06)."""
        try:
            self.conn.get_cancel().cancel()
        except psycopg.Error:
            pass  # it is gone already

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self.conn.finish()


def one_by_one(wanted: dict[str, str]) -> Iterator[dict[str, str]]:
    """The parameters with a single host each ("Specifying Multiple Hosts")."""
    lists = {name: wanted[name].split(",") for name in ("host", "hostaddr") if wanted.get(name)}
    ports = wanted.get("port", "").split(",")
    for number in range(max(map(len, lists.values()), default=1)):
        one = {**wanted, **{name: values[number] for name, values in lists.items()}}
        yield {**one, "port": ports[number if len(ports) > 1 else 0]}


def _quote_parameter(value: str) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
