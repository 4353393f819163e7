"""Every type of MySQL and MariaDB with its edge values, as SQL there, and as PostgreSQL shows what has arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.servers.mysql_binaries import VECTORS

Cases = Mapping[str, Sequence[str | tuple[str, str]]]
"""Type → values: a number or date that both write alike, or (SQL at the source, text at the target)."""

_LONG = "99999999999999999999999999999999999.999999999999999999999999999999"
_CLOCKS = "12:34:56"

BOTH: Cases = {
    "tinyint(1)": ("0", "1", "2", "-1", "127", "-128"),
    "tinyint unsigned": ("0", "255"),
    "smallint": ("-32768", "32767"),
    "smallint unsigned": ("65535",),
    "mediumint": ("-8388608", "8388607", "-1"),
    "mediumint unsigned": ("16777215",),
    "int": ("-2147483648", "2147483647"),
    "int(8) unsigned zerofill": (("42", "42"), "4294967295"),
    "bigint": ("-9223372036854775808", "9223372036854775807"),
    "bigint unsigned": ("9007199254740993", "9223372036854775808", "18446744073709551615"),
    "decimal(65,30)": (_LONG, f"-{_LONG}", ("1e-30", f"0.{'0' * 29}1"), ("0", f"0.{'0' * 30}")),
    "decimal(10,2)": ("-12345678.90", "0.01", "99999999.99", ("1.1", "1.10")),
    "decimal(5,5)": ("0.12345", "-0.99999"),
    "decimal(18) unsigned": ("999999999999999999",),
    "decimal(38,0)": ("9" * 38, f"-{'9' * 38}"),
    "float": (
        ("0.1", "0.1"), ("16777217", "1.6777216e+07"), ("1234567.8", "1.2345678e+06"),
        ("3.4028235e38", "3.4028235e+38"),
        ("-1.17549435e-38", "-1.1754944e-38"), ("1e-45", "1e-45"), ("0.1234567", "0.1234567"), "0",
    ),
    "double": (
        ("1.7976931348623157e308", "1.7976931348623157e+308"), "-0.1", ("5e-324", "5e-324"),
        ("1e0/3", "0.3333333333333333"),
        ("2.2250738585072014e-308", "2.2250738585072014e-308"), ("1e16", "1e+16"), "123456789.12345679", "0",
    ),
    "year": (("0", "0"), "1901", "2155"),
    "bit(1)": (("b'1'", "1"), ("b'0'", "0")),
    "bit(12)": (("b'101'", "000000000101"),),
    "bit(64)": (("18446744073709551615", "1" * 64), ("1 << 63", "1" + "0" * 63)),
    "date": ("0001-01-01", "1582-10-10", "1970-01-01", "2000-02-29", "9999-12-31"),
    "datetime": ("2024-02-29 12:34:56", "1000-01-01 00:00:00"),
    "datetime(3)": (("'2024-02-29 12:34:56.120'", "2024-02-29 12:34:56.12"),),
    "datetime(6)": ("9999-12-31 23:59:59.999999", "2024-01-01 00:00:00.000001"),
    "timestamp": (
        ("'2024-02-29 12:34:56'", "2024-02-29 12:34:56+00"), ("'1970-01-01 00:00:01'", "1970-01-01 00:00:01+00"),
    ),
    "timestamp(6)": (("'2038-01-19 03:14:07.499999'", "2038-01-19 03:14:07.499999+00"),),
    "time": ("-838:59:59", "838:59:59", "24:00:00", "00:00:00", "-00:00:01", _CLOCKS),
    "time(1)": ("-00:00:00.5",),
    "time(6)": ("-00:00:00.000001", "838:59:58.999999", "-838:59:58.000001"),
    "char(10)": (("'ab  '", "ab"), ("''", ""), ("'ab\\t'", "ab\t"), ("'  a'", "  a")),
    "char(0)": (("''", ""),),
    "varchar(40)": (
        ("'ab  '", "ab  "), ("''", ""), ("'\\\\N'", "\\N"), ("'\\\\.'", "\\."),
        ("'a\\tb\\nc\\rd\\\\e'", "a\tb\nc\rd\\e"),
        ("'NULL'", "NULL"), ("'\U0001f468\u200d\U0001f469'", "\U0001f468\u200d\U0001f469"), ("'e\u0301'", "e\u0301"),
        ("X'EFBBBF'", "\ufeff"), ("X'0108'", "\x01\x08"),
    ),
    "varchar(10) CHARACTER SET utf8mb3": (("REPEAT('ü', 10)", "ü" * 10),),
    "text": (("REPEAT('ü', 30000)", "ü" * 30000),),
    "mediumtext": (("REPEAT('\\\\', 70000)", "\\" * 70000),),
    "varchar(20) CHARACTER SET latin1": (("'é€'", "é€"), ("X'8081'", "€\x81")),
    "char(5) CHARACTER SET ucs2": (("'中a'", "中a"),),
    "varchar(20) CHARACTER SET utf16": (("'中😀'", "中😀"),),
    "varchar(20) CHARACTER SET utf32": (("'中😀'", "中😀"),),
    "varchar(20) CHARACTER SET gbk": (("'中文'", "中文"),),
    "varchar(20) CHARACTER SET sjis": (("'表日本'", "表日本"),),
    "varchar(20) CHARACTER SET cp1251": (("'слово'", "слово"),),
    "varchar(20) CHARACTER SET big5": (("'中文'", "中文"),),
    "varchar(20) CHARACTER SET tis620": (("'ไทย'", "ไทย"),),
    "varchar(20) CHARACTER SET euckr": (("'한국'", "한국"),),
    "varchar(20) CHARACTER SET binary": (("X'00FF5C'", "\\x00ff5c"),),
    "tinytext CHARACTER SET latin1": (("'ñ'", "ñ"),),
    "enum('a','b','it''s','ü')": (("'a'", "a"), ("'it''s'", "it's"), ("'ü'", "ü"), ("0", "")),
    "set('x','y','ö')": (("'ö,x'", "x,ö"), ("''", "")),
    "binary(4)": (("X'42000000'", "\\x42000000"), ("X'00'", "\\x00000000")),
    "varbinary(10)": (("X'4200'", "\\x4200"), ("''", "\\x")),
    "blob": (("X'00FF5C0A0D09'", "\\x00ff5c0a0d09"), ("REPEAT(X'00', 65535)", "\\x" + "00" * 65535)),
    "longblob": (("REPEAT(X'1E5C', 50000)", "\\x" + "1e5c" * 50000),),
    "geometry": (
        ("ST_GeomFromText('POINT(1 2)')", "\\x0101000000000000000000f03f0000000000000040"),
        ("ST_GeomFromText('LINESTRING(0 0,1 1)', 3857)",
         "\\x0102000020110f000002000000" + "0" * 32 + "000000000000f03f" * 2),
    ),
}  # fmt: skip

ONLY: Mapping[str, Cases] = {
    "mysql": {
        "json": (
            ("'{\"b\": 1, \"aa\": [true, null, \"ü\\\\n\"]}'", '{"b": 1, "aa": [true, null, "ü\\n"]}'),
            ("'1.5'", "1.5"), ("'1e20'", "100000000000000000000"), ("'18446744073709551615'", "18446744073709551615"),
            ("'\"x\"'", '"x"'), ("'null'", "null"), ("'{}'", "{}"), ("'[]'", "[]"),
            ("CAST(CAST(1.10 AS DECIMAL(5,2)) AS JSON)", "1.10"),
            (f"CAST(CAST('{_LONG}' AS DECIMAL(65,30)) AS JSON)", _LONG),
            ("CAST(TIMESTAMP'2015-01-15 23:24:25.12' AS JSON)", '"2015-01-15 23:24:25.120000"'),
            ("CAST(TIME'-12:00:00.5' AS JSON)", '"-12:00:00.500000"'),
            ("CAST(DATE'2020-02-02' AS JSON)", '"2020-02-02"'),
            ("CAST(X'0102' AS JSON)", '"base64:type15:AQI="'),
        ),
        **({"vector(3)": (("STRING_TO_VECTOR('[1.5,-2,0.1]')", "{1.5,-2,0.1}"),)} if VECTORS else {}),
    },
    "mariadb": {
        "json": (("'{\"b\": 1,  \"a\": \"\\\\u0000\"}'", '{"b": 1,  "a": "\\u0000"}'),),
        "uuid": tuple(
            (f"'{text}'", text) for text in (
                "123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000",
                "f47ac10b-58cc-4372-a567-0e02b2c3d479", "018f0000-0000-7000-8000-000000000000",
                "ffffffff-ffff-ffff-ffff-ffffffffffff", "2ed6657d-e927-568b-95e1-2665a8aea600",
            )
        ),
        "inet6": (
            ("'::1'", "::1/128"),
            ("'2001:db8::ff00:42:8300'", "2001:db8::ff00:42:8300/128"), ("'::ffff:1.2.3.4'", "::ffff:1.2.3.4/128"),
        ),
        "inet4": (("'1.2.3.4'", "1.2.3.4/32"), ("'255.255.255.0'", "255.255.255.0/32")),
    },
}  # fmt: skip


def cases(product: str) -> Cases:
    return {**BOTH, **ONLY[product]}


def packed(product: str) -> Cases:
    """Of the types that are packed for COPY's binary form, which a table's columns are all of or none."""
    others = ("bigint unsigned", "vector", "geometry", "point", "linestring", "polygon")
    return {type: values for type, values in cases(product).items() if not type.startswith(others)}


def whole(cases: Cases) -> list[list[str | tuple[str, str]]]:
    """Rows without a NULL, in which each value is at least once."""
    rows = max(map(len, cases.values()))
    return [[values[row % len(values)] for values in cases.values()] for row in range(rows)]


def tables(types: Sequence[str]) -> list[str]:
    """One with a key, and one whose rows are told apart by all their values."""
    columns = ", ".join(f"c{number} {type}" for number, type in enumerate(types))
    keyed = f"CREATE TABLE zoo (id int PRIMARY KEY AUTO_INCREMENT, {columns}) ROW_FORMAT=DYNAMIC"
    return [keyed, f"CREATE TABLE heap (id int, {columns}) ROW_FORMAT=DYNAMIC"]


def fill(cases: Cases) -> list[str]:
    """A row for each value, all others NULL; and a row of NULLs."""
    made = []
    for number, values in enumerate(cases.values()):
        made += [f"INSERT INTO zoo (c{number}) VALUES ({_literal(value)})" for value in values]
    return [*made, "INSERT INTO zoo () VALUES ()"]


def fill_whole(cases: Cases) -> list[str]:
    """The table of whole rows, and these."""
    columns = ", ".join(f"c{number} {type} NOT NULL" for number, type in enumerate(cases))
    rows = ", ".join(f"(NULL, {', '.join(map(_literal, row))})" for row in whole(cases))
    table = f"CREATE TABLE IF NOT EXISTS packed (id int PRIMARY KEY AUTO_INCREMENT, {columns}) ROW_FORMAT=DYNAMIC"
    return [table, f"INSERT INTO packed VALUES {rows}"]


def arrived_whole(cases: Cases) -> list[list[str | None]]:
    """As `arrived`, of whole rows."""
    return [[value[1] if isinstance(value, tuple) else value for value in row] for row in whole(cases)]


def arrived(cases: Cases) -> list[list[str | None]]:
    """What PostgreSQL is to show of these rows, in their order."""
    rows: list[list[str | None]] = []
    for number, values in enumerate(cases.values()):
        for value in values:
            row: list[str | None] = [None] * len(cases)
            row[number] = value[1] if isinstance(value, tuple) else value
            rows.append(row)
    return [*rows, [None] * len(cases)]


def _literal(value: str | tuple[str, str]) -> str:
    if isinstance(value, tuple):
        return value[0]
    return value if value.strip("-").replace(".", "", 1).isdecimal() else f"'{value}'"
