"""Changes as lines of JSON on a stream: what `cdcd tail` prints."""

from connectors.jsonlines.sink import JsonLinesSink

__all__ = ["JsonLinesSink"]
