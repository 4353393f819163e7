"""A TCP proxy in a thread that knows the messages of PostgreSQL and of MySQL: silence, cuts, delays and holds at one.

It stands between a client and a server on one machine, so what it cannot show is a network that loses
packets: silence here is a peer that reads no more, not one whose acknowledgements are missing.
"""

import re
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

from tests.servers.messages import Direction, Message, Session, Speaking

__all__ = ["CUT", "HOLD", "SWALLOW", "Delay", "Direction", "Message", "Proxy", "Trap"]

CHUNK = 1 << 16
FULL = 1 << 20
"""Bytes waiting for a slow side, after which the other is not read."""


@dataclass(frozen=True)
class Action:
    """What a hook has done with a message; None lets it pass."""

    name: str


@dataclass(frozen=True)
class Delay(Action):
    """Pass the message, and what follows it, this much later."""

    seconds: float = 0


CUT = Action("cut")
"""Reset the connection; the message is not passed."""
SWALLOW = Action("swallow")
"""Do not pass the message; go on."""
HOLD = Action("hold")
"""Keep the message and what follows it until `release`."""

Hook = Callable[[Message], Action | None]


class Trap:
    """Something that waits for a message; `sprung` is set when it came."""

    def __init__(self, proxy: "Proxy") -> None:
        self.proxy = proxy
        self.sprung = threading.Event()
        self.message: Message | None = None

    def wait(self, limit: float = 30) -> Message:
        if not self.sprung.wait(limit):
            raise AssertionError(f"the proxy waited {limit:g} s for a message that did not come")
        assert self.message is not None
        return self.message

    def release(self) -> None:
        """Let what is held pass."""
        self.proxy.release()


class _Way:
    """One direction of one connection."""

    def __init__(self, direction: Direction, origin: socket.socket, goal: socket.socket) -> None:
        self.direction = direction
        self.origin = origin
        self.goal = goal
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.kept: Message | None = None
        self.until: float | None = None
        """When the kept message passes; None while it is held."""
        self.ended = False
        self.closed = False


class _Link:
    """One connection: both its ways, and the session they share."""

    def __init__(self, session: Speaking, client: socket.socket, server: socket.socket) -> None:
        self.session = session
        self.client = client
        self.server = server
        self.ways = (
            _Way(Direction.TO_SERVER, client, server),
            _Way(Direction.TO_CLIENT, server, client),
        )


class Proxy:
    """Listens on a free port of this machine and passes everything on to one server."""

    def __init__(self, host: str, port: int, speaks: Callable[[int], Speaking] = Session) -> None:
        """`speaks` makes what knows the messages of a connection, by its number."""
        self.target = (host, port)
        self._speaks = speaks
        self.accepted = 0
        """Connections tried so far, refused ones included."""
        self._links: list[_Link] = []
        self._hooks: list[tuple[Direction, Hook]] = []
        self._silent: set[Direction] = set()
        self._refusing = False
        self._stopping = False
        self._lock = threading.RLock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._waker, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._thread = threading.Thread(target=self._work, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    # What a test says

    def url(self, original: str) -> str:
        """The same URL by way of the proxy."""
        parts = urlsplit(original)
        who = parts.netloc.rpartition("@")[0]
        here = f"127.0.0.1:{self.port}"
        return urlunsplit(parts._replace(netloc=f"{who}@{here}" if who else here))

    @property
    def connections(self) -> int:
        """Connections open now."""
        with self._lock:
            return len(self._links)

    def silence(self, direction: Direction | None = None) -> None:
        """Pass nothing more, in one direction or both, and close nothing; new connections too."""
        with self._lock:
            self._silent |= {direction} if direction else set(Direction)
        self._wake()

    def resume(self) -> None:
        """End silence."""
        with self._lock:
            self._silent.clear()
        self._wake()

    def cut(self, where: Callable[[dict[str, str]], bool] = lambda parameters: True) -> int:
        """Reset the open connections, or those whose startup parameters say so; how many."""
        with self._lock:
            chosen = [link for link in self._links if where(link.session.parameters)]
            for link in chosen:
                self._reset(link)
        self._wake()
        return len(chosen)

    def refuse(self, refusing: bool = True) -> None:
        """Reset new connections as they come, or accept them again."""
        with self._lock:
            self._refusing = refusing

    def on_message(self, direction: Direction, hook: Hook) -> Callable[[], None]:
        """Call `hook` with each message before it passes, on the proxy's thread; returns what ends that.

        Hooks are asked in order, and the first answer that is not None is taken.
        """
        entry = (direction, hook)
        with self._lock:
            self._hooks.append(entry)

        def remove() -> None:
            with self._lock:
                if entry in self._hooks:
                    self._hooks.remove(entry)

        return remove

    def hold(self, direction: Direction, predicate: Callable[[Message], bool]) -> Trap:
        """Hold the first message that the predicate names, and all that follows it on its way."""
        return self._trap(direction, predicate, HOLD)

    def cut_at(self, pattern: str, nth: int = 1) -> Trap:
        """Reset the connection that sends the nth statement matching the pattern, which does not pass."""
        return self._trap(Direction.TO_SERVER, _says(pattern), CUT, nth)

    def drop_answer_of(self, pattern: str, nth: int = 1) -> Trap:
        """Pass the nth statement matching the pattern; when its answer is whole, reset the connection."""

        def act(message: Message) -> Action:
            return CUT if message.kind == "Z" else SWALLOW

        return self._answer(pattern, nth, act)

    def delay_answer_of(self, pattern: str, seconds: float, nth: int = 1) -> Trap:
        """Pass the nth statement matching the pattern; its answer reaches the client later."""
        began: list[float] = []

        def act(message: Message) -> Action | None:
            if began:
                return None
            began.append(seconds)
            return Delay("delay", seconds)

        return self._answer(pattern, nth, act)

    def release(self) -> None:
        """Let all that is held pass."""
        with self._lock:
            for link in self._links:
                for way in link.ways:
                    if way.kept is not None and way.until is None:
                        way.until = 0
        self._wake()

    def clear(self) -> None:
        """Forget all hooks, traps, silence and refusal, and let what is held pass."""
        with self._lock:
            self._hooks.clear()
            self._silent.clear()
            self._refusing = False
        self.release()

    def close(self) -> None:
        """Reset everything and end the thread."""
        self._stopping = True
        self._wake()
        self._thread.join(10)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Traps

    def _trap(
        self, direction: Direction, predicate: Callable[[Message], bool], action: Action | None, nth: int = 1
    ) -> Trap:
        trap = Trap(self)
        seen = 0

        def hook(message: Message) -> Action | None:
            nonlocal seen
            if trap.sprung.is_set() or not predicate(message):
                return None
            seen += 1
            if seen < nth:
                return None
            trap.message = message
            trap.sprung.set()
            remove()
            return action

        remove = self.on_message(direction, hook)
        return trap

    def _answer(self, pattern: str, nth: int, act: Hook) -> Trap:
        asked = self._trap(Direction.TO_SERVER, _says(pattern), None, nth)

        def hook(message: Message) -> Action | None:
            question = asked.message
            if question is None or message.connection != question.connection:
                return None
            return act(message) if message.turn == question.turn else None

        self.on_message(Direction.TO_CLIENT, hook)
        return asked

    # The thread

    def _wake(self) -> None:
        try:
            self._waker.send(b".")
        except OSError:
            pass

    def _work(self) -> None:
        while not self._stopping:
            with selectors.DefaultSelector() as selector:
                with self._lock:
                    timeout = self._interests(selector)
                events = selector.select(timeout)
                with self._lock:
                    self._round({key.fd: mask for key, mask in events})
        with self._lock:
            for link in list(self._links):
                self._reset(link)
            for end in (self._listener, self._waker, self._woken):
                end.close()

    def _round(self, ready: dict[int, int]) -> None:
        if self._woken.fileno() in ready:
            self._woken.recv(CHUNK)
        for link in list(self._links):
            self._serve(link, ready)
        if self._listener.fileno() in ready:
            self._accept()

    def _interests(self, selector: selectors.BaseSelector) -> float | None:
        """Say what to wait for; how long at most."""
        selector.register(self._listener, selectors.EVENT_READ)
        selector.register(self._woken, selectors.EVENT_READ)
        timeout: float | None = None
        wanted: dict[socket.socket, int] = {}
        for link in self._links:
            for way in link.ways:
                if way.direction in self._silent:
                    continue
                if way.kept is not None and way.until is not None:
                    rest = max(0.0, way.until - time.monotonic())
                    timeout = rest if timeout is None else min(timeout, rest)
                if not way.ended and way.kept is None and len(way.outbox) < FULL:
                    wanted[way.origin] = wanted.get(way.origin, 0) | selectors.EVENT_READ
                if way.outbox:
                    wanted[way.goal] = wanted.get(way.goal, 0) | selectors.EVENT_WRITE
        for end, mask in wanted.items():
            selector.register(end, mask)
        return timeout

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.accepted += 1
        if self._refusing:
            _abort(client)
            return
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            _abort(client)
            return
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links.append(_Link(self._speaks(self.accepted), client, server))

    def _serve(self, link: _Link, ready: dict[int, int]) -> None:
        try:
            for way in link.ways:
                if way.direction in self._silent:
                    continue
                readable = ready.get(way.origin.fileno(), 0) & selectors.EVENT_READ
                if readable and not way.ended and way.kept is None:
                    data = way.origin.recv(CHUNK)
                    way.ended = not data
                    way.inbox += data
                if not self._pump(link, way):
                    self._reset(link)
                    return
                if way.outbox:
                    del way.outbox[: way.goal.send(way.outbox)]
                if way.ended and not way.outbox and way.kept is None and not way.closed:
                    way.goal.shutdown(socket.SHUT_WR)
                    way.closed = True
        except BlockingIOError:
            return
        except OSError:
            self._reset(link)
            return
        if all(way.closed for way in link.ways):
            self._links.remove(link)
            link.client.close()
            link.server.close()

    def _pump(self, link: _Link, way: _Way) -> bool:
        """Move whole messages from inbox to outbox; False to cut the connection."""
        if way.kept is not None:
            if way.until is None or time.monotonic() < way.until:
                return True
            way.outbox += way.kept.raw
            way.kept, way.until = None, None
        while (message := link.session.take(way.direction, way.inbox)) is not None:
            action = self._judge(message)
            if action is CUT:
                return False
            if action is SWALLOW:
                continue
            if action is HOLD or isinstance(action, Delay):
                way.kept = message
                way.until = time.monotonic() + action.seconds if isinstance(action, Delay) else None
                return True
            way.outbox += message.raw
        return True

    def _judge(self, message: Message) -> Action | None:
        for direction, hook in list(self._hooks):
            if direction is message.direction:
                action = hook(message)
                if action is not None:
                    return action
        return None

    def _reset(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)
            _abort(link.client)
            _abort(link.server)


def _says(pattern: str) -> Callable[[Message], bool]:
    wanted = re.compile(pattern, re.IGNORECASE)
    return lambda message: bool(message.sql and wanted.search(message.sql))


def _abort(end: socket.socket) -> None:
    """Close with a reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
