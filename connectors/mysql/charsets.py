"""The servers' character sets as Python's codecs, where the two agree; text of any other is refused by name."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping

UTF8 = ("utf8mb4", "utf8mb3", "utf8", "ascii")
"""Sets whose bytes are UTF-8 already."""

CODECS: Mapping[str, str] = {
    "latin1": "mysql_latin1", "latin2": "iso8859_2", "latin5": "iso8859_9", "latin7": "iso8859_13",
    "greek": "iso8859_7", "hebrew": "iso8859_8", "cp1250": "cp1250", "cp1251": "cp1251", "cp1256": "cp1256",
    "cp1257": "cp1257", "cp850": "cp850", "cp852": "cp852", "cp866": "cp866", "koi8r": "koi8_r", "koi8u": "koi8_u",
    "macroman": "mac_roman", "macce": "mac_latin2", "ucs2": "utf_16_be", "utf16": "utf_16_be",
    "utf16le": "utf_16_le", "utf32": "utf_32_be", "sjis": "shift_jis", "cp932": "cp932", "ujis": "euc_jp",
    "gbk": "gbk", "gb2312": "gb2312", "gb18030": "gb18030", "big5": "big5", "euckr": "cp949", "tis620": "tis_620",
}  # fmt: skip

_HOLES = {0x81: "\x81", 0x8D: "\x8d", 0x8F: "\x8f", 0x90: "\x90", 0x9D: "\x9d"}
_LATIN1 = "".join(_HOLES.get(byte) or bytes([byte]).decode("cp1252") for byte in range(256))
"""latin1 is Windows' 1252, with the five bytes that this leaves out standing for themselves."""


_TO_LATIN1 = codecs.charmap_build(_LATIN1)


def decoder(charset: str) -> Callable[[bytes], str]:
    """bytes → text, UnicodeDecodeError (a ValueError) where they are none; LookupError for a set not known."""
    if charset in UTF8:
        return _utf8
    name = CODECS[charset]
    if name == "mysql_latin1":
        return lambda value: codecs.charmap_decode(value, "strict", _LATIN1)[0]
    codecs.lookup(name)
    return lambda value: value.decode(name)


def _utf8(value: bytes) -> str:
    return value.decode()


def encoder(charset: str) -> Callable[[str], bytes]:
    """text → bytes, UnicodeEncodeError (a ValueError) where the set has no such character."""
    if charset in UTF8:
        return lambda text: text.encode()
    name = CODECS[charset]
    if name == "mysql_latin1":
        return lambda text: codecs.charmap_encode(text, "strict", _TO_LATIN1)[0]
    codecs.lookup(name)
    return lambda text: text.encode(name)
