"""SIGKILL for a daemon, at whatever moment, at its COMMIT, and behind it."""

from __future__ import annotations

from tests.fix_daemon import Daemon
from tests.servers.proxy import Direction, Message, Proxy


def kill(daemon: Daemon, target_proxy: Proxy, turn: int) -> None:
    """The first of three turns kills it as it stands."""
    if turn % 3 == 1:
        # The COMMIT has left the daemon and is held on its way: the target's transaction stands open.
        target_proxy.hold(Direction.TO_SERVER, _is_commit).wait(90)
    elif turn % 3 == 2:
        # The server has the COMMIT, its answer is held: the daemon cannot know.
        target_proxy.delay_answer_of(r"; COMMIT; SELECT", 60).wait(90)
    daemon.kill()
    target_proxy.cut()
    target_proxy.clear()


def _is_commit(message: Message) -> bool:
    return bool(message.sql and "; COMMIT" in message.sql.upper() and "CHECKPOINTS" in message.sql.upper())
