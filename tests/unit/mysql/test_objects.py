"""CREATE TABLE as the servers write it, taken apart, and made what the other product takes."""

from __future__ import annotations

import pytest

from cdcd.model.schema import Statement
from connectors.mysql.dialect import Dialect, collation_here
from connectors.mysql.show_create import checks, reference, take_apart

ODD = (
    "CREATE TABLE `a(b`` c` (\n  `x,y` int NOT NULL DEFAULT '1' COMMENT 'a,(b) ''c'' \\\\',\n"
    "  `g` int GENERATED ALWAYS AS ((`x,y` * 2)) STORED CHECK (`g` > ')'),\n  PRIMARY KEY (`x,y`),\n"
    "  UNIQUE KEY `u )` (`g`,`x,y`),\n  KEY `e` ((lower(`g`))),\n"
    "  FULLTEXT KEY `f` (`g`) /*!50100 WITH PARSER `ngram` */ ,\n"
    "  CONSTRAINT `k REFERENCES ``z`` (` FOREIGN KEY (`g`, `x,y`) REFERENCES `p``q` (`id`, `y`)"
    " ON DELETE CASCADE,\n"
    "  CONSTRAINT `c` CHECK ((`g` <> _utf8mb4'),'))\n) ENGINE=InnoDB COMMENT=')'\n/*!50100 PARTITION BY HASH (`g`) */"
)


def test_taken_apart() -> None:
    made = take_apart(ODD)
    assert made.name == "`a(b`` c`"
    assert [(item.kind, item.name) for item in made.items] == [
        ("column", "x,y"), ("column", "g"), ("primary", ""), ("unique", "u )"), ("key", "e"), ("key", "f"),
        ("foreign key", "k REFERENCES `z` ("), ("check", "c"),
    ]  # fmt: skip
    assert made.options == "ENGINE=InnoDB COMMENT=')'\n/*!50100 PARTITION BY HASH (`g`) */"
    assert [item.first for item in made.items if item.kind in ("unique", "key")] == ["g", "", "g"]
    key = next(item for item in made.items if item.kind == "foreign key")
    its = reference(key)
    assert (its.columns, its.schema, its.table, its.others) == (("g", "x,y"), "", "p`q", ("id", "y"))
    assert its.actions == ("CASCADE", "")
    assert its.to("`b`.`p`").endswith("FOREIGN KEY (`g`, `x,y`) REFERENCES `b`.`p` (`id`, `y`) ON DELETE CASCADE")
    assert [text for item in made.items for text in checks(item)] == ["(`g` > ')')", "((`g` <> _utf8mb4'),'))"]
    assert take_apart(made.text) == made
    for broken in ("DROP TABLE t", "CREATE TABLE `t` (`a` int", "CREATE TABLE `t` (`a` int DEFAULT '"):
        with pytest.raises(ValueError):
            take_apart(broken)


MARIADB = {
    "utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_nopad_bin", "utf8mb4_uca1400_nopad_ai_ci", "latin1_swedish_ci",
    "utf8mb4_uca1400_german2_nopad_as_cs", "utf8mb4_unicode_520_nopad_ci",
}  # fmt: skip
OLD = MARIADB - {name for name in MARIADB if "uca1400" in name}
MYSQL = {
    "utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_0900_bin", "utf8mb4_0900_ai_ci", "utf8mb4_de_pb_0900_as_cs",
    "utf8mb4_unicode_520_ci", "utf8mb3_unicode_520_ci", "latin1_swedish_ci", "latin1_bin",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "there", "here"),
    [
        ("utf8mb4_0900_ai_ci", MARIADB, "utf8mb4_uca1400_nopad_ai_ci"),
        ("utf8mb4_0900_bin", MARIADB, "utf8mb4_nopad_bin"),
        ("utf8mb4_de_pb_0900_as_cs", MARIADB, "utf8mb4_uca1400_german2_nopad_as_cs"),
        ("utf8mb4_0900_ai_ci", OLD, "utf8mb4_unicode_520_nopad_ci"), ("utf8mb4_ja_0900_as_cs", MARIADB, "utf8mb4_bin"),
        ("utf8mb4_uca1400_ai_ci", MYSQL, "utf8mb4_0900_ai_ci"),
        ("utf8mb4_nopad_bin", MYSQL, "utf8mb4_0900_bin"),
        ("utf8mb4_uca1400_german2_nopad_as_cs", MYSQL, "utf8mb4_de_pb_0900_as_cs"),
        ("utf8mb4_general_nopad_ci", MYSQL, "utf8mb4_general_ci"),
        ("latin1_swedish_nopad_ci", MYSQL, "latin1_swedish_ci"),
        ("utf8mb3_uca1400_ai_ci", MYSQL, "utf8mb3_unicode_520_ci"), ("latin1_swedish_ci", MYSQL, "latin1_swedish_ci"),
    ],
)  # fmt: skip
def test_collations(name: str, there: set[str], here: str) -> None:
    assert collation_here(name, there) == here


def here(mariadb: bool, text: str, kind: str = "table") -> tuple[str, list[str]]:
    dialect = Dialect(mariadb, MARIADB if mariadb else MYSQL, lambda name: {"app": "shop"}.get(name, name))
    of = ("table", "app", "t") if kind == "table" else ("index", "app", "t", "i")
    made, left = dialect.here([Statement(kind, text, of, "app.t")])
    assert all(one.of[1] == "shop" for one in made)
    return made[0].text if made else "", [one.kind for one in left]


def test_mysql_to_mariadb() -> None:
    text = (
        "CREATE TABLE `app`.`t` (`a` int DEFAULT '3' /*!80023 INVISIBLE */, `v` vector(3) DEFAULT NULL, "
        "`c` varchar(9) COLLATE utf8mb4_0900_bin DEFAULT 'COLLATE utf8mb4_0900_bin', "
        "`g` int GENERATED ALWAYS AS ((`a` + 1)) STORED NOT NULL, "
        "`p` point NOT NULL /*!80003 SRID 4326 */, KEY `a` (`a`), "
        "CONSTRAINT `d` CHECK ((`c` <> _utf8mb4'it\\'s _utf8mb4')), "
        "CONSTRAINT `c` CHECK ((`a` > 1)) /*!80016 NOT ENFORCED */) "
        "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci COMPRESSION='zlib'"
    )
    assert here(True, text) == (
        "CREATE TABLE `shop`.`t` (`a` int DEFAULT '3' INVISIBLE, `v` longblob DEFAULT NULL, `c` varchar(9) COLLATE "
        "utf8mb4_nopad_bin DEFAULT 'COLLATE utf8mb4_0900_bin', `g` int GENERATED ALWAYS AS ((`a` + 1)) STORED, "
        "`p` point NOT NULL, KEY `a` (`a`), CONSTRAINT `d` CHECK ((`c` <> 'it\\'s _utf8mb4'))) "
        "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_nopad_ai_ci",
        ["check"],
    )
    assert here(True, "ALTER TABLE `app`.`t` ADD KEY `i` ((lower(`a`)))", "index") == ("", ["index"])
    assert here(True, "ALTER TABLE `app`.`t` ADD KEY `i` (`a`(5)) /*!80000 INVISIBLE */", "index") == (
        "ALTER TABLE `shop`.`t` ADD KEY `i` (`a`(5)) IGNORED", []
    )  # fmt: skip
    unchanged = text.replace("`app`", "`shop`")
    assert here(False, text) == (unchanged, [])


def test_mariadb_to_mysql() -> None:
    text = (
        "CREATE TABLE `app`.`t` (`u` uuid DEFAULT uuid(), "
        "`w` varchar(9) COLLATE utf8mb4_uca1400_ai_ci DEFAULT concat('a(',`x`), "
        "`x` text DEFAULT 'it''s' COMMENT ' DEFAULT ', `y` varchar(9) DEFAULT 'x', `z` int(11) DEFAULT (1 + 2), "
        "`co` text /*M!100301 COMPRESSED*/ DEFAULT NULL, "
        "`at` timestamp(3) NULL DEFAULT current_timestamp(3)) ENGINE=InnoDB "
        "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci PAGE_CHECKSUM=1 TRANSACTIONAL=1 WITH SYSTEM VERSIONING"
    )
    assert here(False, text) == (
        "CREATE TABLE `shop`.`t` (`u` char(36) DEFAULT (uuid()), "
        "`w` varchar(9) COLLATE utf8mb4_0900_ai_ci DEFAULT (concat('a(',`x`)), "
        "`x` text DEFAULT ('it''s') COMMENT ' DEFAULT ', `y` varchar(9) DEFAULT 'x', `z` int(11) DEFAULT (1 + 2), "
        "`co` text DEFAULT NULL, "
        "`at` timestamp(3) NULL DEFAULT current_timestamp(3)) ENGINE=InnoDB "
        "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
        ["system versioning"],
    )
    assert here(False, "ALTER TABLE `app`.`t` ADD KEY `i` (`a`) IGNORED", "index")[0].endswith("(`a`) INVISIBLE")
