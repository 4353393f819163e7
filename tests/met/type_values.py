"""Every type of PostgreSQL with its edge values, as text that its input function reads; and keys of every type that
may be one."""

from __future__ import annotations

MAX_NUMERIC = "9" * 30 + "." + "9" * 30

PORTABLE: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "int2": ["-32768", "-32767", "-1", "0", "1", "32766", "32767"],
    "int4": ["-2147483648", "-2147483647", "-1", "0", "1", "2147483646", "2147483647"],
    "int8": ["-9223372036854775808", "-9223372036854775807", "-1", "0", "1", "9007199254740991", "9007199254740992",
             "9007199254740993", "9223372036854775806", "9223372036854775807"],
    "oid": ["0", "2147483648", "4294967295"],
    "xid": ["0", "3", "4294967295"],
    "cid": ["0", "4294967295"],
    "xid8": ["0", "9223372036854775808", "18446744073709551615"],
    "tid": ["(0,0)", "(4294967295,65535)"],
    "pg_lsn": ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"],
    "numeric": [
        "0", "0.00", "-0.0", "1.10", "1e10", "-1e-20", MAX_NUMERIC, "-" + MAX_NUMERIC, "1e131071", "1e-16383", "NaN",
        "Infinity", "-Infinity",
    ],
    "numeric(5,2)": ["NaN", "-999.99", "999.99", "0.005", "0"],
    "numeric(38,10)": ["9999999999999999999999999999.9999999999", "-0.0000000001"],
    "numeric(1,0)": ["9", "-9", "0"], "numeric(9,4)": ["99999.9999", "-99999.9999", "0.0001"],
    "numeric(10,0)": ["9999999999", "-9999999999"], "numeric(18,9)": ["999999999.999999999", "-0.000000001"],
    "numeric(19,0)": ["9999999999999999999", "-9999999999999999999"],
    "numeric(39,1)": ["9" * 38 + ".9", "-" + "9" * 38 + ".9", "0.1"],
    "numeric(65,30)": ["9" * 35 + "." + "9" * 30, "-" + "9" * 35 + "." + "9" * 30, "1e-30", "-0.000", "1.10"],
    "numeric(2,5)": ["0.00012", "-0.00099", "NaN"], "numeric(3,-2)": ["12345", "-150", "49"],
    "numeric(1000,0)": ["9" * 1000],
    "float4": ["0.1", "16777217", "1.17549435e-38", "1e-45", "3.4028235e38", "-3.4028235e38", "1234567.8", "-0", "NaN",
               "Infinity", "-Infinity"],
    "float8": ["0.1", "0.3333333333333333", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "1e16",
               "9007199254740993", "-1.7976931348623157e308", "-0", "NaN", "Infinity", "-Infinity"],
    "text": ["", " ", "NULL", "\\N", "\\.", "a\\b", "tab\tnl\ncr\r", "\x01\x7f", "😀𠜎", "é", "e\u0301", '"', "{},()",
             "%s %", "\ufeff\ufffd\u2028\U0010ffff\ue000", "x  ", "'", "`", "👨\u200d👩\u200d👧"],
    "varchar(10)": ["", "😀" * 10, "ab  "],
    "char(5)": ["", "ab", "ab\t", "ab\n", " ", "\u00a0", "ááááá"],
    "bpchar": ["", "ab  ", "x"],
    "name": ["", "é" * 31, "a.b\"c"],
    '"char"': ["", "a", "\\", "\\377"],
    "bytea": ["", "\\x00", "\\x01000000", "\\x" + "ff" * 20, "\\x" + bytes(range(256)).hex()],
    "bit(1)": ["0", "1"],
    "bit(3)": ["010", "000"], "bit(8)": ["00000001", "10000000"], "bit(12)": ["000000000001"],
    "varbit(9)": ["000000001"],
    "bit(64)": ["1" * 64, "1" + "0" * 63],
    "varbit": ["", "0", "0010", "1" * 1000],
    "uuid": ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
             "018f4e2a-7c00-7abc-8def-0123456789ab"],
    "date": ["0001-01-01", "4713-01-01 BC", "0001-12-31 BC", "1582-10-04", "1582-10-05", "1582-10-14", "1582-10-15",
             "1900-02-28", "1900-03-01", "1969-12-31", "1970-01-01",
             "2000-02-29", "9999-12-31", "10000-01-01", "5874897-12-31", "infinity", "-infinity"],
    "time": ["00:00:00", "00:00:00.000001", "12:34:56.789012", "23:59:59.999999", "23:59:59.9999999", "24:00:00"],
    **{f"time({p})": ["23:59:59.999999", "00:00:00.000001", f"12:34:56.{'9' * p or '5'}"] for p in range(7)},
    "timetz": ["24:00:00+15:59", "00:00:00-15:59:59", "10:00+05:30", "04:30+00", "10:00:00.5-00:00:30",
               "00:00:00+00", "12:00:00.000001+05:45"],
    "timestamp": [
        "1969-12-31 23:59:59.999999", "4713-01-01 00:00:00 BC", "0044-03-15 00:00:00.5 BC", "2038-01-19 03:14:08",
        "2262-04-11 23:47:16.854775", "9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.9999995",
        "294247-01-10 04:00:54.775807", "294247-01-10 04:00:54.775808",
        "294276-12-31 23:59:59.999999", "infinity", "-infinity",
    ],
    **{f"timestamp({p})": ["2024-02-29 23:59:59.999999", "1999-12-31 00:00:00.000001",
                           f"1969-12-31 23:59:59.{'9' * p or '5'}"] for p in range(7)},
    "timestamptz(3)": ["2024-02-29 23:59:59.9996+05:45", "1969-12-31 23:59:59.999+00"],
    "timetz(2)": ["23:59:59.996-03:30"],
    "timestamptz": [
        "2024-11-03 01:30 America/New_York", "2024-11-03 01:30 EST", "2024-03-10 02:30 America/New_York",
        "1883-11-18 12:00 America/New_York", "2024-01-01 00:00:00.5 Asia/Kathmandu", "2024-01-01 00:00 Asia/Kolkata",
        "10000-01-01 00:00+00", "0044-03-15 00:00 America/New_York BC", "0001-01-01 00:00+15",
        "9999-12-31 23:59:59-15", "294276-12-31 23:59:59.999999+00", "4713-01-01 00:00:00+00 BC", "-infinity",
        "infinity",
    ],
    "interval": [
        "0", "1 mon -1 day +1 s", "-1 mon +2 days -03:04:05.000006", "24:00:00", "1 day", "178000000 years",
        "0.5 month", "2628000 hours", "-178000000 years -2147483648 days", "-00:00:00.000001",
    ],
    "interval(0)": ["1.6 s"],
    "interval year to month": ["1 year 2 months", "-13 months"],
    "json": ["null", '""', "{}", "[]", "0", "-0", "1.0", "1e2", "9007199254740993", "18446744073709551616", "7" * 40,
             "0." + "1" * 30, '"😀"', '{"b":1,"a":2,"b":3}', "12345678901234567890.00", '{"a" : 1e2,\n "a":-0}',
             '"\\u0000\\ud83d"', '{"":" \\/ ","b":"\\\\ \\t"}', "[" * 100 + "]" * 100],
    "jsonb": ["null", '""', '{"b": 1.10, "a": [1e400, 12345678901234567890]}', '"\\\\ \\" 😀"', "-0.0",
              '{"a":1,"a":2}', "{}", "[]", "0", "1.0", "1e2", "9007199254740993", "18446744073709551616", "7" * 40,
              "0." + "1" * 30, '{"":{"":0}}', "[" * 100 + "]" * 100],
    "jsonpath": ['$."a b"[*] ? (@ > 1.10)', "strict $"],
    "inet": ["10.0.0.1", "10.0.0.1/8", "0.0.0.0/0", "::", "::1/64", "::ffff:1.2.3.4", "2001:db8::1/128"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "point": ["(1,NaN)", "(-0,Infinity)", "(0.1,1e-300)"],
    "line": ["{1,-1,0}", "{0.1,2,-3}"],
    "lseg": ["[(1,2),(3,4)]"],
    "box": ["(1,1),(0,0)", "(1e300,2),(-0.1,0)"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"],
    "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(1,2),0.1>"],
    "tsvector": ["", "'a''b':1A 'c\\\\d':2,3 'x y':16383", "plain"],
    "txid_snapshot": ["10:20:10,14,15", "1:1:"],
    "pg_snapshot": ["10:20:10,14,15", "1:1:"],
    "int4[]": ["{}", "{NULL}", "{{1,NULL},{3,4}}", "[0:1][-1:0]={{1,2},{3,4}}", "{1}", "[5:5]={7}", "{{{1}}}"],
    "text[]": ['{"NULL",NULL,"","a\\"b","c\\\\d","e,f","{g}"," ","\n\t"}', "{{a,b},{c,NULL}}"],
    "bytea[]": ['{"\\\\x00ff",NULL,"\\\\x"}'],
    "numeric(6,2)[]": ["{1.10,NaN,NULL,-9999.99}"],
    "varchar(3)[]": ["{abc,NULL,\"\"}"],
    "date[]": ['{"0044-03-15 BC",infinity,2024-02-29}'],
    "timestamptz[]": ['{"0044-03-15 00:00:00+00 BC",infinity}'],
    "interval[]": ['{"1 mon -1 day"}'],
    "json[]": ['{"{\\"a\\": [1, 2]}",NULL}'],
    "jsonb[]": ['{"{\\"a\\": \\"\\\\\\\\\\"}"}'],
    "box[]": ["{(1,1),(0,0);(2,2),(1,1)}"],
    "inet[]": ["{10.0.0.1/8,::}"],
    "int4range[]": ['{"[1,2)",empty}'],
    "name[]": ["{abc,\"d e\"}"],
    "int4range": ["empty", "(,)", "[1,5]", "[1,1]", "(,7)"],
    "int8range": ["[-9223372036854775808,9223372036854775807)"],
    "numrange": ["[1.10,1.10]", "(-Infinity,NaN)", "[1,1)"],
    "tsrange": ['["0044-03-15 00:00:00 BC","2024-01-01 00:00:00"]'],
    "tstzrange": ['["2024-01-01 00:00:00+00",)', "[-infinity,infinity]", "(,)"],
    "daterange": ["[4713-01-01 BC,infinity)", "(,2024-02-29]"],
    "int4multirange": ["{}", "{[1,3),[5,9)}", "{(,)}"],
    "int8multirange": ["{[1,3),[2,9)}"],
    "nummultirange": ["{[1.10,1.10],(2,Infinity)}"],
    "tsmultirange": ['{["0044-03-15 00:00:00 BC","2024-01-01 00:00:00"]}'],
    "tstzmultirange": ["{(,infinity)}"],
    "datemultirange": ["{[2024-01-01,2024-01-03],[2025-01-01,)}"],
    "kinds.mood": ["", "it's, \"ok\"", "😀 \\", "last"], "kinds.many": ["l1", "l255", "l256", "L1", "é" * 31 + "!"],
    "kinds.d_int": ["-1", "7"],
    "kinds.d_of_d": ["1.10", "99.99"],
    "kinds.d_ints": ["{1,NULL}", "{}", "[2:3]={1,2}"],
    "kinds.d_mood": ["last"],
}  # fmt: skip
"""Types whose binary form means the same at two servers of one major version."""

TEXT_ONLY: dict[str, list[str]] = {
    "money": ["-92233720368547758.08", "92233720368547758.07", "0.005", "1234567.8", "0"],
    "money[]": ["{1234.5,-1}"],
    "regclass": ["pg_catalog.pg_class", "0", "kinds.\"odd 'table\"", "4000000000"],
    "regtype": ["kinds.mood", "integer", "integer[]"],
    "regproc": ["pg_catalog.now"],
    "regprocedure": ["pg_catalog.abs(integer)"],
    "regoperator": ["pg_catalog.+(integer,integer)"],
    "regnamespace": ["pg_catalog", "kinds"],
    "regrole": ["pg_monitor"],
    "regconfig": ["pg_catalog.english"],
    "regdictionary": ["pg_catalog.simple"],
    "tsquery": ["", "'a' & !'b c' | 'd':*A", "'x' <-> 'y'"],
    "tsquery[]": ["{\"'a'\",\"\"}"],
    "int2vector": ["1 2 3", ""],
    "oidvector": ["1 4294967295", ""],
    "refcursor": ["a cursor"],
    "aclitem": ["pg_monitor=r*w/pg_monitor"], "aclitem[]": ["{pg_monitor=r*w/pg_monitor}"],
    "regcollation": ['pg_catalog."C"'], "regoper": ["pg_catalog.||/"],
    "kinds.mood[]": ['{"",NULL,"it\'s, \\"ok\\"","😀 \\\\"}'],
    "kinds.pair": ["(,,)", '(1,"",)', '(2,"a""b,c\\\\d (x)","(1,2)")', '(3," ","(NaN,0)")'],
    "kinds.nested": ['("(1,""a"""",\\\\\\\\"",)","{1,NULL}",last)', "(,,)"],
    "kinds.pair[]": ['{"(1,\\"a\\\\\\\\b\\",)",NULL,"(,,)"}'],
    "kinds.d_pair": ["(1,x,)"],
    "kinds.d_moods": ['{last,""}'],
    "kinds.d_some": ["never null"],
    "kinds.textrange": ['["a \\"b\\\\ ,)",z]', "(,)", "empty", '["",x)'],
    "kinds.textmultirange": ['{[a,b],["c d",)}', "{}"],
    "kinds.moodrange": ['["",last]'],
    "hstore": ['a=>1, a=>2', '"a\\"b"=>NULL, ""=>"NULL", "c\\\\"=>"x=>y, z"', "", "a=>1"],
    "hstore[]": ['{"\\"a\\"=>\\"b,c\\""}'],
    "citext": ["Ä a", "", "NULL"],
    "citext[]": ["{A,b}"],
    "ltree": ["", "Top.Science_2.Astronomy"],
    "lquery": ["*.a%|b*{1,2}.!c@"],
    "ltxtquery": ["a* & !b@"],
}  # fmt: skip

XML = ["", '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', "<a>é</a>", "text only", "<![CDATA[<x>]]>&lt;&#10;",
       '<?xml version="1.0" encoding="ISO-8859-1"?><a/>', '<?xml version="1.0" standalone="yes"?><b/>',
       "<n:a xmlns:n='u'><!-- c --></n:a>"]  # fmt: skip
"""Where the server was built with libxml."""

USER_TYPES = """
CREATE SCHEMA kinds; CREATE TABLE kinds."odd 'table" (id int PRIMARY KEY);
CREATE TYPE kinds.mood AS ENUM ('last'); ALTER TYPE kinds.mood ADD VALUE '' BEFORE 'last';
ALTER TYPE kinds.mood ADD VALUE 'it''s, "ok"' BEFORE 'last'; ALTER TYPE kinds.mood ADD VALUE '😀 \\' BEFORE 'last';
DO $$BEGIN EXECUTE 'CREATE TYPE kinds.many AS ENUM (' || (SELECT string_agg(quote_literal('l' || i), ', ')
    FROM generate_series(1, 300) i) || ', ''L1'', ' || quote_literal(repeat('é', 31) || '!') || ')'; END$$;
CREATE DOMAIN kinds.d_int AS int CHECK (VALUE > -5); CREATE DOMAIN kinds.d_num AS numeric(5, 2);
CREATE DOMAIN kinds.d_of_d AS kinds.d_num CHECK (VALUE > 0);
CREATE DOMAIN kinds.d_ints AS int[] CHECK (cardinality(VALUE) < 9);
CREATE DOMAIN kinds.d_mood AS kinds.mood; CREATE DOMAIN kinds.d_moods AS kinds.mood[];
CREATE DOMAIN kinds.d_some AS text NOT NULL CHECK (VALUE <> '');
CREATE TYPE kinds.pair AS (a int, b text, c point);
CREATE TYPE kinds.nested AS (p kinds.pair, list kinds.d_ints, m kinds.mood);
CREATE DOMAIN kinds.d_pair AS kinds.pair; CREATE TYPE kinds.both AS (a int, b text);
CREATE TYPE kinds.textrange AS RANGE (subtype = text, collation = "C");
CREATE TYPE kinds.moodrange AS RANGE (subtype = kinds.mood)
"""

VECTORS: dict[str, list[str]] = {
    "vector": ["[1]", "[-0,1e-45,3.4028235e38,0.1]", "[" + ",".join(map(str, range(16000))) + "]"],
    "vector(3)": ["[1,-0,2.5]"], "vector[]": ['{"[1,2]",NULL}'],
    "halfvec": ["[1]", "[-0,65504,6e-08,0.1]"], "halfvec(2)": ["[1,2]"],
    "sparsevec": ["{}/5", "{1:1,5:-0.5}/5", "{1000000:1}/1000000"], "sparsevec(4)": ["{2:7}/4"],
}  # fmt: skip
"""Where pgvector is."""

EXTENSIONS = "; ".join(f"CREATE EXTENSION {name} SCHEMA public" for name in ("hstore", "citext", "ltree"))

# Each makes distinct keys of i = 1, 2, 3, …, the first ones odd.
KEYS: dict[str, str] = {
    "int2": "i - 32769", "int4": "i * 70000000::int8 - 2147483647",
    "int8": "i * 300000000000000000::numeric - 9223372036854775808",
    "oid": "4294967296 - i", "xid8": "(18446744073709551616 - i)::text::xid8", "pg_lsn": "'FFFFFFFF/0'::pg_lsn + i",
    "tid": "('(' || i * 9 || ',' || i || ')')::tid",
    "numeric": "CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN '-Infinity' WHEN 3 THEN 1e131000 ELSE (i - 30) * 1.10 END",
    "numeric(9,3)": "(i - 30) * 1.101",
    "money": "((i - 30) * 12345.67)::numeric::money",
    "float4": "CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN '-0' WHEN 3 THEN 'Infinity'"
              " ELSE ((i - 30) * 0.1)::text END::float4",
    "float8": "CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN '5e-324' WHEN 3 THEN '-Infinity'"
              " ELSE ((i - 30) * 0.1)::text END::float8",
    "text": "CASE i WHEN 1 THEN '' WHEN 2 THEN e'tab\\t\\\\' WHEN 3 THEN 'é'"
            " ELSE coalesce(('{a,A,á,\"a \",ß,ss,İ,i,é,😀}'::text[])[i - 3], chr(60 + i) || ' ' || i) END",
    "varchar(20)": "CASE i WHEN 1 THEN '' ELSE 'é' || i || '  ' END",
    "char(9)": "CASE i WHEN 1 THEN '' ELSE 'a' || i END",
    "name": "'n' || repeat('é', i % 20) || i",
    '"char"': "(i + 32)::\"char\"",
    "bytea": "CASE i WHEN 1 THEN '' ELSE decode(md5(i::text), 'hex') END::bytea",
    "bool": "i = 1",
    "bit(40)": "(i * 9999999)::bit(40)", "varbit": "(repeat('01', i))::varbit",
    "uuid": "md5(i::text)::uuid",
    "date": "CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN '4713-01-01 BC'"
            " ELSE ('0001-01-01 BC'::date + i * 9999)::text END::date",
    "time": "'00:00:00.000001'::time + i * '7 minutes'::interval",
    "timetz": "('10:00+' || i % 15)::timetz + i * '1 minute'::interval",
    "timestamp": "CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '0044-03-15 00:00:00.5 BC'"
                 " ELSE ('1969-12-31 23:59:59.999999'::timestamp + (i - 30) * '9 days'::interval)::text END::timestamp",
    "timestamptz": "CASE i WHEN 1 THEN '-infinity' WHEN 2 THEN '4713-01-01 00:00:00+00 BC'"
                   " ELSE ('2000-01-01 00:00+00'::timestamptz + (i - 30) * '99 days'::interval)::text END::timestamptz",
    "interval": "(i - 30) * '1 mon -1 day +00:00:01'::interval",
    "inet": "('10.0.' || i || '.1/' || 8 + i % 20)::inet", "cidr": "('10.0.' || i || '.0/24')::cidr",
    "macaddr": "('08:00:2b:01:02:' || lpad(to_hex(i), 2, '0'))::macaddr",
    "macaddr8": "('08:00:2b:01:02:03:04:' || lpad(to_hex(i), 2, '0'))::macaddr8",
    "jsonb": "jsonb_build_object('k', i, 'é\"', i * 1.10)",
    "tsvector": "('w' || i)::tsvector", "tsquery": "('w' || i || ' & x')::tsquery",
    "int4range": "CASE i WHEN 1 THEN 'empty' WHEN 2 THEN '(,)' ELSE '[' || i || ',' || 2 * i || ']' END::int4range",
    "tstzrange": "tstzrange('2024-01-01 00:00+00'::timestamptz + i * '1 day'::interval, NULL)",
    "int4multirange": "CASE i WHEN 1 THEN '{}' ELSE '{[' || i || ',' || 2 * i || '],[999,)}' END::int4multirange",
    "int4[]": "CASE i WHEN 1 THEN '{}' WHEN 2 THEN '{NULL}' WHEN 3 THEN '[0:0]={3}' ELSE '{1,' || i || '}' END::int[]",
    "text[]": "ARRAY['a\"\\', NULL, i::text]",
    "oidvector": "(i || ' ' || 2 * i)::oidvector",
    "kinds.mood": "(enum_range(NULL::kinds.mood))[i % 4 + 1]",
    "kinds.d_int": "i", "kinds.d_of_d": "i * 1.10", "kinds.d_ints": "ARRAY[i]", "kinds.d_some": "'x' || i",
    "kinds.both": "ROW(i, 'é\"' || i)::kinds.both",
    "kinds.textrange": "kinds.textrange(chr(96 + i % 26), 'é' || i)",
    "hstore": "hstore('k', i::text)", "citext": "CASE i % 2 WHEN 0 THEN 'b' ELSE 'C' END || i",
    "ltree": "('a.b' || i)::ltree",
}  # fmt: skip
