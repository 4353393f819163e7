"""Text in JSON's quotes, as UTF-8."""

from __future__ import annotations

from _json import encode_basestring as quote

__all__ = ["quote", "quoted"]


def quoted(text: str) -> bytes:
    """Escapes what JSON demands: control characters, quotes, backslashes; so there is never a newline."""
    return quote(text).encode()
