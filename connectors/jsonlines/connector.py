"""What the registry asks of this connector: a sink that writes to standard output."""

from __future__ import annotations

import sys

from cdcd.connector import SinkOptions, Url
from connectors.jsonlines.sink import JsonLinesSink


def sink(url: Url, name: str, options: SinkOptions) -> JsonLinesSink:
    """`url` says no more than that: there is one standard output."""
    return JsonLinesSink(sys.stdout.buffer, options.checkpoint, options.tables)
