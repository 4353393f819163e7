"""Waiting for something to become true: the only place in the tests that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.kept import keeping

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], limit: float = 30, what: str = "the condition", every: float = 0.02
) -> T:
    """Call `condition` until it returns something true and return that; after `limit` seconds, fail. What takes long is
    asked less often, up to a fifth as often as at first."""
    began = time.monotonic()
    pause = every
    with keeping():
        while True:
            last = condition()
            if last:
                return last
            if time.monotonic() - began > limit:
                raise AssertionError(f"waited {limit:g} s for {what}; last seen: {last!r}")
            time.sleep(pause)
            pause = min(pause * 1.2, every * 5)
