"""A source, a target, and the command between them, so that a test says only what happens."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.equality import assert_equal, wait_equal
from tests.fix_daemon import Daemon
from tests.servers.database import Database
from tests.servers.roles import APP, SOURCE, TARGET
from tests.waiting import wait_until


@dataclass(frozen=True)
class Pair:
    """`source_url` and `target_url` stand over the databases' own, for a proxy."""

    source: Database
    target: Database
    cdcd: Callable[..., Daemon]
    source_url: str = ""
    target_url: str = ""

    @property
    def ends(self) -> list[str]:
        """The pipeline in a command's words."""
        ends = ["--from", self.source_url or self.source.url, "--to", self.target_url or self.target.url]
        return [*ends, "--name", self.name]

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def slot(self) -> str:
        return f"cdcd_{self.name}"

    def over(self, source: str = "", target: str = "") -> "Pair":
        """The same pair by other addresses."""
        return replace(self, source_url=source, target_url=target)

    def run(self, *more: str, code: int = 0, limit: float = 60) -> Daemon:
        """`cdcd run` to its end: `--until caught-up` if nothing else ends it."""
        finite = [] if {"--until", "only"} & set(more) else ["--until", "caught-up"]
        daemon = self.cdcd("run", *self.ends, *more, *finite)
        daemon.wait(code, limit)
        return daemon

    def follow(self, *more: str) -> Daemon:
        """`cdcd run` that goes on, once it has copied all there is or gone on from where it stood."""
        daemon = self.cdcd("run", *self.ends, *more)
        wait_until(
            lambda: daemon.said("stream started") or not daemon.running, 60, what=f"the stream: {daemon.text()[-2000:]}"
        )
        assert daemon.running, daemon.text()
        return daemon

    def command(self, *words: str, code: int = 0) -> Daemon:
        """Another command about this pipeline, to its end."""
        daemon = self.cdcd(words[0], *words[1:], *self.ends)
        daemon.wait(code)
        return daemon

    def equal(self, *tables: str) -> None:
        assert_equal(self.source, self.target, tables)

    def wait_equal(self, *tables: str, limit: float = 40) -> None:
        wait_equal(self.source, self.target, tables, limit)

    def slots(self) -> Sequence[str]:
        return self.source.server.slots(self.source.name)

    def confirmed(self) -> int:
        """What the slot says is confirmed, in bytes."""
        text = "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s"
        return int(self.source.admin(text, self.slot)[0][0])

    def stored(self) -> int:
        """The checkpoint at the target, in bytes."""
        text = "SELECT (checkpoint #>> '{position,lsn}')::pg_lsn - '0/0' FROM cdcd.checkpoints WHERE pipeline = %s"
        ((place,),) = self.target.admin(text, self.name)
        return int(place)


@contextmanager
def reverse(pair: Pair) -> Iterator[Pair]:
    """The pair of the other direction, by the roles for it, with the rights that they have not yet."""
    source, target = replace(pair.target, role=SOURCE), replace(pair.source, role=TARGET)
    both = source.server, target.server  # asked elsewhere than in the databases, which may be fenced
    try:
        both[0].execute(f'GRANT CREATE ON DATABASE "{source.name}" TO {SOURCE}; GRANT {TARGET} TO {SOURCE}')
        both[1].execute(f'GRANT CREATE, TEMPORARY ON DATABASE "{target.name}" TO {TARGET}; GRANT {APP} TO {TARGET}')
        yield replace(pair, source=source, target=target)
    finally:
        both[0].execute(f"REVOKE {TARGET} FROM {SOURCE}")
        both[1].execute(f"REVOKE {APP} FROM {TARGET}")
