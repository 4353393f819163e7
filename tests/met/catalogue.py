"""A database as its catalogue tells it, line by line: two that say the same hold the same objects. And a schema that
holds one of everything."""

from tests.servers.database import Database

EVERYTHING = r"""
CREATE SCHEMA "Odd ""one"; CREATE SCHEMA apart;
COMMENT ON SCHEMA apart IS 'parts of others';
CREATE TYPE apart.mood AS ENUM ('sad', 'it''s ok', 'a,b');
COMMENT ON TYPE apart.mood IS 'how it''s going';
CREATE DOMAIN apart.positive AS int DEFAULT 1 CONSTRAINT above CHECK (VALUE > 0);
CREATE DOMAIN apart.small AS apart.positive CHECK (VALUE < 1000) NOT NULL;
COMMENT ON DOMAIN apart.small IS 'of another';
CREATE TYPE "Odd ""one".pair AS (a apart.mood, "b B" apart.positive, c text COLLATE "C");
CREATE TYPE "Odd ""one".deep AS (p "Odd ""one".pair[], n numeric(6, 2));
CREATE TYPE apart.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE COLLATION apart.plain (provider = libc, locale = 'C');
CREATE SEQUENCE apart.free AS smallint INCREMENT 3 MINVALUE -5 MAXVALUE 500 START 7 CACHE 4 CYCLE;
COMMENT ON SEQUENCE apart.free IS 'nobody''s';
CREATE TABLE public.parent (
    id bigint GENERATED ALWAYS AS IDENTITY (INCREMENT 5 START 100 CACHE 2), code varchar(20) COLLATE "C" NOT NULL,
    other int, CONSTRAINT "parent is named" PRIMARY KEY (id) INCLUDE (other),
    UNIQUE (code) DEFERRABLE INITIALLY DEFERRED, CONSTRAINT pairwise UNIQUE (code, other));
COMMENT ON CONSTRAINT "parent is named" ON public.parent IS 'the key';
COMMENT ON CONSTRAINT pairwise ON public.parent IS 'two';
CREATE TABLE "Odd ""one"."Select" (
    "a %" int, "order" text DEFAULT 'x''y\z' COLLATE apart.plain, m apart.mood DEFAULT 'sad', ms apart.mood[],
    d apart.small DEFAULT 5, p "Odd ""one".pair, q "Odd ""one".deep, s apart.span,
    n numeric(10, 2) NOT NULL DEFAULT 0, twice numeric GENERATED ALWAYS AS (n * 2) STORED, at timestamptz DEFAULT now(),
    serial serial, free int DEFAULT nextval('apart.free'), parent bigint, code varchar(20), other int, during int4range,
    email text CONSTRAINT reachable NOT NULL, PRIMARY KEY ("a %", "order"),
    CONSTRAINT fine CHECK (n >= 0 AND "order" <> '100%'), CONSTRAINT apart EXCLUDE USING gist (during WITH &&),
    CONSTRAINT up FOREIGN KEY (parent) REFERENCES public.parent ON DELETE CASCADE ON UPDATE SET NULL
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT code FOREIGN KEY (code, other) REFERENCES public.parent (code, other) MATCH FULL ON DELETE SET DEFAULT);
ALTER TABLE "Odd ""one"."Select" ADD CONSTRAINT later CHECK (n < 100000) NOT VALID;
COMMENT ON TABLE "Odd ""one"."Select" IS E'two\nlines';
COMMENT ON COLUMN "Odd ""one"."Select"."a %" IS 'per cent';
COMMENT ON CONSTRAINT fine ON "Odd ""one"."Select" IS 'checked';
CREATE UNIQUE INDEX email_once ON "Odd ""one"."Select" (email);
COMMENT ON INDEX "Odd ""one".email_once IS 'only once';
ALTER TABLE "Odd ""one"."Select" REPLICA IDENTITY USING INDEX email_once;
CREATE INDEX "lower %" ON "Odd ""one"."Select" (lower("order"), n DESC NULLS LAST) INCLUDE (m) WHERE n > 0;
CREATE UNIQUE INDEX alike ON "Odd ""one"."Select" (code COLLATE "C" text_pattern_ops, parent) NULLS NOT DISTINCT;
CREATE INDEX by_hash ON "Odd ""one"."Select" USING hash (m);
CREATE INDEX by_gin ON "Odd ""one"."Select" USING gin (ms) WITH (fastupdate = off);
CREATE INDEX by_brin ON "Odd ""one"."Select" USING brin (at) WITH (pages_per_range = 4);
CREATE TABLE public.parts (id int, at date, area text NOT NULL DEFAULT 'x', v int, PRIMARY KEY (id, at, area)
    ) PARTITION BY RANGE (at);
COMMENT ON TABLE public.parts IS 'a tree';
CREATE TABLE apart.parts_20 PARTITION OF public.parts FOR VALUES FROM ('2020-01-01') TO ('2030-01-01')
    PARTITION BY LIST (area);
CREATE TABLE apart.parts_20_xy PARTITION OF apart.parts_20 FOR VALUES IN ('x', 'y') PARTITION BY HASH (id);
CREATE TABLE apart.parts_20_xy_0 PARTITION OF apart.parts_20_xy FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE apart.parts_20_xy_1 PARTITION OF apart.parts_20_xy FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE apart.parts_20_rest PARTITION OF apart.parts_20 DEFAULT;
CREATE TABLE public.parts_min PARTITION OF public.parts FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE public."parts rest" PARTITION OF public.parts DEFAULT;
COMMENT ON TABLE public."parts rest" IS 'what is left';
ALTER TABLE public."parts rest" ALTER area SET DEFAULT 'rest', ALTER v SET DEFAULT 3;
ALTER TABLE apart.parts_20_rest ALTER area DROP DEFAULT;
ALTER TABLE public.parts ADD CONSTRAINT positive CHECK (id > 0);
ALTER TABLE public.parts_min ADD CONSTRAINT old CHECK (v IS NOT NULL);
CREATE INDEX parts_v ON public.parts (v) WHERE v > 1;
CREATE INDEX only_rest ON public."parts rest" (area);
CREATE UNIQUE INDEX once_min ON public.parts_min (v);
CREATE TABLE public.child (id int PRIMARY KEY, part int, at date, area text,
    FOREIGN KEY (part, at, area) REFERENCES public.parts ON DELETE CASCADE);
CREATE TABLE public.keyless (v text); ALTER TABLE public.keyless REPLICA IDENTITY FULL;
INSERT INTO public.parent (code, other) SELECT 'c' || i, i FROM generate_series(1, 9) i;
INSERT INTO "Odd ""one"."Select" ("a %", m, ms, p, q, s, n, parent, during, email)
    SELECT i, 'a,b', '{sad}', one, '("{""(sad,1,c)""}",1.5)', '[1,2.5)', i, 95 + 5 * i,
           int4range(i, i + 1), 'e' || i
    FROM generate_series(1, 9) i, LATERAL (SELECT ('(sad,' || i || ',c)')::"Odd ""one".pair) r (one);
INSERT INTO public.parts SELECT i, date '2019-06-01' + i * 90, chr(119 + i % 5), i FROM generate_series(1, 60) i;
INSERT INTO public.child SELECT 1, id, at, area FROM public.parts WHERE id = 3;
INSERT INTO public.keyless VALUES ('a'), ('a')
"""

TABLES = ("public.parent", 'Odd "one.Select', "public.parts", "public.child", "public.keyless")

_SPACES = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'cdcd', 'pg_toast') AND n.nspname !~ '^pg_'"

_QUESTIONS = {
    "column": """
        SELECT c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, a.attcollation::regcollation
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {spaces} AND c.relkind IN ('r', 'p', 'c') AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraint": """
        SELECT k.conrelid::regclass, k.contypid::regtype, k.conname, k.contype, pg_get_constraintdef(k.oid),
               k.convalidated, k.condeferrable, k.condeferred
        FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE {spaces} AND k.contype = ANY (%s)
          AND (k.contype <> 'f' OR k.conparentid = 0)""",
    "index": """
        SELECT pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisprimary, i.indisreplident,
               (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = i.indexrelid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {spaces}""",
    "tree": """
        SELECT c.oid::regclass, c.relkind, c.relreplident, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
               (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {spaces} AND c.relkind IN ('r', 'p')""",
    "sequence": """
        SELECT c.oid::regclass, to_jsonb(s) - 'seqrelid' - 'seqtypid', format_type(s.seqtypid, NULL),
               (SELECT d.refobjid::regclass::text || d.refobjsubid || d.deptype::text FROM pg_depend d
                WHERE d.objid = c.oid AND d.deptype IN ('a', 'i'))
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {spaces}""",
    "type": """
        SELECT t.oid::regtype, t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
               ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
               (SELECT r.rngsubtype::regtype::text || r.rngsubdiff::text FROM pg_range r WHERE r.rngtypid = t.oid)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {spaces}""",
    "comment": """
        SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description
        WHERE classoid::regclass::text = ANY ('{{pg_class,pg_constraint,pg_type,pg_namespace}}') AND objoid > 16383
          AND pg_describe_object(classoid, objoid, objsubid) !~ 'cdcd|extension'""",
    "collation": """
        SELECT c.oid::regcollation, c.collprovider, c.collisdeterministic, c.collcollate
        FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE {spaces}""",
}


def catalogue(database: Database, constraints: str = "pucxfn") -> list[str]:
    """`constraints`: which types of them; before version 18 a NOT NULL is none."""
    lines = []
    for kind, question in _QUESTIONS.items():
        given = (list(constraints),) if kind == "constraint" else ()
        text = f"SELECT r::text FROM ({question.format(spaces=_SPACES)}) r ORDER BY 1"
        lines += [f"{kind} {row[0]}" for row in database.sql(text, *given)]
    return lines
