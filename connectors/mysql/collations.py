"""The collations of a server: what a character set gets when none is named, and which set one belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.mysql.ask import Asker
from connectors.mysql.server import Server


@dataclass(frozen=True, slots=True)
class Collations:
    """`names` by number, `charsets` by name, `defaults` by character set."""

    names: Mapping[int, str]
    charsets: Mapping[str, str]
    defaults: Mapping[str, str]

    def of(self, charset: str | None, collate: str | None, binary: bool, otherwise: str) -> str:
        """The collation of a text column whose definition says so much; `otherwise` is its table's. LookupError where
        the server has none such."""
        if collate is not None and collate not in self.charsets:
            # MariaDB's newer ones have one name for several sets.
            collate = f"{charset or self.charsets[otherwise]}_{collate}"
        if collate is not None:
            self.charsets[collate]
            return collate
        if charset is None and not binary:
            self.charsets[otherwise]
            return otherwise
        charset = charset or self.charsets[otherwise]
        return charset if charset == "binary" else f"{charset}_bin" if binary else self.defaults[charset]

    def with_default(self, number: int) -> Collations:
        """Where the session had another default for one set (default_collation_for_utf8mb4)."""
        name = self.names.get(number)
        if name is None:
            return self
        return replace(self, defaults={**self.defaults, self.charsets[name]: name})


def read_collations(asker: Asker, server: Server) -> Collations:
    source = "SELECT COLLATION_NAME, CHARACTER_SET_NAME, ID, IS_DEFAULT FROM information_schema.COLLATIONS"
    if server.mariadb and server.version >= (10, 10, 0):
        source = (
            "SELECT FULL_COLLATION_NAME, CHARACTER_SET_NAME, ID, IS_DEFAULT"
            " FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
        )
    names, charsets, defaults = {}, {}, {}
    for name, charset, number, default in asker.ask(source):
        if charset is None:
            continue
        charsets[str(name)] = str(charset)
        if number is not None:
            names[int(number)] = str(name)
        if default == "Yes":
            defaults[str(charset)] = str(name)
    return Collations(names, charsets, defaults)
