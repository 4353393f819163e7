"""`python -m tests.servers.fetch`: have the programs of all servers here before tests begin, whose time is limited."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from tests.servers.binaries import Unavailable, binaries
from tests.servers.matrix import USUAL
from tests.servers.mysql_binaries import programs


def main() -> None:
    """Those that cannot be had are named; whether something stands in their place is the tests' affair."""
    wanted: list[Callable[[], object]] = [partial(binaries, version) for version in USUAL]
    wanted += [partial(programs, product) for product in ("mysql", "mariadb")]
    for get in wanted:
        try:
            get()
        except Unavailable as error:
            print(error, file=sys.stderr)


if __name__ == "__main__":
    main()
