"""What the daemon tells over HTTP: /healthz, /readyz, /metrics, and /status with each pipeline in one sentence."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from typing import Any

from cdcd import metrics
from cdcd.errors import UsageError
from cdcd.health import healthy, ready
from cdcd.log import get_logger
from cdcd.secrets import hide

Snapshots = Callable[[], Sequence[Mapping[str, Any]]]

log = get_logger("status")


class _Handler(BaseHTTPRequestHandler):
    """GET only. A slow client holds up a thread for some seconds, and nothing else."""

    server: _Server
    timeout = 10
    server_version = "cdcd"
    sys_version = ""

    def do_GET(self) -> None:
        snapshots = self.server.snapshots()
        match self.path.partition("?")[0]:
            case "/healthz":
                self._verdict([(s, healthy(s), s.get("unhealthy", "")) for s in snapshots])
            case "/readyz":
                self._verdict([(s, ready(s), s["sentence"]) for s in snapshots])
            case "/metrics":
                self._answer(200, metrics.CONTENT_TYPE, metrics.render(snapshots))
            case "/status":
                body = json.dumps({"version": 1, "pipelines": list(snapshots)}, ensure_ascii=False, indent=2)
                self._answer(200, "application/json; charset=utf-8", hide(body).encode())
            case _:
                self._answer(404, "text/plain; charset=utf-8", b"/healthz /readyz /metrics /status\n")

    def _verdict(self, verdicts: Sequence[tuple[Mapping[str, Any], bool, str]]) -> None:
        good = all(verdict for _, verdict, _ in verdicts)
        lines = [f"{s['name']}: {'ok' if verdict else reason}\n" for s, verdict, reason in verdicts]
        self._answer(200 if good else 503, "text/plain; charset=utf-8", hide("".join(lines)).encode())

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("http", request=format % args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, snapshots: Snapshots) -> None:
        if ":" in host:
            self.address_family = AF_INET6
        self.snapshots = snapshots
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("http request failed", client=str(client_address), exc_info=True)


@contextmanager
def serving(listen: str | None, snapshots: Snapshots) -> Iterator[str | None]:
    """Serve while the block runs, unless `listen` is None. Gives the address listened on (port 0: any free one)."""
    if listen is None:
        yield None
        return
    host, _, port = listen.rpartition(":")
    try:
        server = _Server(host.strip("[]"), int(port), snapshots)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {listen}", why=error.strerror or str(error), hint="choose another --http HOST:PORT"
        ) from None
    address = f"{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="http", daemon=True)
    thread.start()
    log.info("listening", http=address)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join(1)
