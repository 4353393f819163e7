"""Families whose value is text."""

from __future__ import annotations

from cdcd.model.types.family import Family

FAMILIES = (
    Family("text", "str", "length, in characters", "no Unicode normalisation; trailing spaces are kept"),
    Family("char", "str", "length, in characters", "without padding: trailing U+0020 is not the value"),
    Family("citext", "str", note="text whose equality is the server's: upper and lower case are one"),
    Family("enum", "str", "labels, in the type's own order", "the label, not its number"),
    Family("xml", "str", note="the text, not the document"),
    Family("inet", "str", note="the server's text: ipaddress loses the host bits of 192.168.0.1/24"),
    Family("cidr", "str"),
    Family("macaddr", "str"),
    Family("macaddr8", "str"),
    Family(
        "opaque",
        "str",
        "labels: the type's name at the source",
        "the server's own text: composites, geometric shapes, tsvector, and every type unknown to us",
    ),
)
