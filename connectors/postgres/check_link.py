"""Whether the session with a server is verified: who listens on the way could be the server ("SSL Support", libpq)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_address

from cdcd.contracts import Finding
from connectors.postgres.connect import address, parameters
from connectors.postgres.findings import finding


def unverified(url: str, id: str) -> Iterator[Finding]:
    """`id`: which end's finding it is."""
    wanted = parameters(url, "")
    mode = wanted.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"
    hosts = (wanted.get("host") or wanted.get("hostaddr") or os.environ.get("PGHOST") or "").split(",")
    if mode == "verify-full" or all(map(_local, hosts)):
        return
    yield finding(
        id, "the session is not verified: whoever is on the way could pose as the server, and read the password",
        f"{address(wanted)}, sslmode = {mode}",
        "add ?sslmode=verify-full to the URL (with sslrootcert=FILE or system, where its authority is)",
    )  # fmt: skip


def _local(host: str) -> bool:
    """A socket's directory, or an address of this machine's loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
