"""Structure that another product's source tells, as statements: names that fit and meet nobody, and simple defaults."""

from __future__ import annotations

import pytest

from cdcd.model.structure import ForeignKey, Index, Part, Structure
from cdcd.model.table import Column, Default, Table
from cdcd.model.types import LogicalType
from connectors.postgres.defaults import expression, simple
from connectors.postgres.structure_make import index_names, make_statements


def table(name: str, *columns: str, schema: str = "app", primary: tuple[str, ...] = ("id",)) -> Table:
    its = tuple(Column(column, n, LogicalType("int32"), "integer") for n, column in enumerate(columns or ("id",), 1))
    return Table(schema, name, its, primary, primary=primary, product="other")


def on(table: Table, name: str, *columns: str, unique: bool = False) -> Index:
    return Index(name, table, tuple(map(Part, columns)), unique)


def test_index_names_are_kept_where_they_can_be() -> None:
    a, a_b, idx, other = table("a"), table("a_b"), table("idx"), table("z", schema="other")
    long = "é" * 40
    indexes = (
        on(a, "once", "id"), on(a, "both", "id"), on(a_b, "both", "id"), on(other, "once", "id"),
        on(a, "b_c", "id"), on(a_b, "b_c", "id"), on(a_b, "c", "id"), on(a, "c", "id"), on(a, "idx", "id"),
        on(a, long, "id"), on(a_b, long, "id"),
    )  # fmt: skip
    structure = Structure((a, a_b, idx, other), indexes)
    names = index_names(structure)
    assert names["app.a", "once"] == names["other.z", "once"] == "once"
    assert (names["app.a", "both"], names["app.a_b", "both"]) == ("a_both", "a_b_both")
    assert names["app.a", "idx"] == "a_idx", "a table is called so"
    assert names["app.a", "c"] == "a_c"
    meets = {names["app.a", "b_c"], names["app.a_b", "c"]}
    assert len(meets) == 2 and all(name.startswith("a_b_c_") for name in meets), "a + b_c, and a_b + c"
    app = [name for (id, _), name in names.items() if id.startswith("app.")]
    assert len(set(app)) == len(app) == 10 and max(len(name.encode()) for name in app) <= 63
    assert names == index_names(Structure((other, idx, a_b, a), indexes[::-1])), "in whatever order they are told"


def test_what_cannot_be_had_is_told_with_its_line() -> None:
    parent, child = table("parent", "id", "code"), table("child", "id", "parent", "code")
    keys = (
        ForeignKey("by_id", child, ("parent",), parent, ("id",), "cascade", "set null"),
        ForeignKey("by_code", child, ("code",), parent, ("code",)),
        ForeignKey("loose", child, ("code",), parent, ("id",), exact=False),
    )
    prefix = Index("start", child, (Part("code", 10, descending=True),))
    twice = (on(child, "one", "parent"), on(child, "two", "parent"))
    statements, left = make_statements(Structure((parent, child), (prefix, *twice), keys))
    after = [one.text for one in statements if one.stage == "after"]
    assert after == [
        'CREATE INDEX "one" ON "app"."child" ("parent")',
        'ALTER TABLE "app"."child" ADD CONSTRAINT "by_id" FOREIGN KEY ("parent") REFERENCES "app"."parent" ("id")'
        " ON UPDATE SET NULL ON DELETE CASCADE",
        'ALTER TABLE "app"."child" ADD CONSTRAINT "loose" FOREIGN KEY ("code") REFERENCES "app"."parent" ("id")'
        " NOT VALID",
    ]
    assert {(one.kind, one.name) for one in left} == {
        ("index", "app.child.start"), ("foreign key", "app.child.by_code"), ("validity", "app.child.loose"),
    }  # fmt: skip
    assert 'CREATE INDEX "start" ON "app"."child" (left("code", 10) DESC)' in left[0].brings


@pytest.mark.parametrize(
    ("text", "family", "found"),
    [
        ("5", "int32", "5"), ("'-5'::integer", "int32", "-5"), ("(-1.50)", "decimal", "-1.50"),
        ("'it''s \\ ::text'::text", "text", "it's \\ ::text"), ("true", "bool", "true"),
        ("'\\x00ff'::bytea", "bytes", "00ff"), ("B'101'::\"bit\"", "bit", "101"), ("'{}'::jsonb", "jsonb", "{}"),
        ("'a'::public.mood", "enum", "a"),
        ("'2020-01-01 00:00:00+00'::timestamp with time zone", "timestamptz", "2020-01-01 00:00:00"),
        ("'infinity'::timestamp without time zone", "timestamp", None), ("('a'::text || 'b'::text)", "text", None),
        ("lower('A'::text)", "text", None), ("'{1,2}'::integer[]", "array", None), (None, "text", None),
    ],
)  # fmt: skip
def test_values(text: str | None, family: str, found: str | None) -> None:
    assert simple(text, family) == (None if found is None else Default("value", found))


def test_times_and_numbers_to_come() -> None:
    assert simple("now()", "timestamptz") == simple("CURRENT_DATE", "date") == Default("now")
    assert simple("now()", "text") is None
    assert simple("nextval('a_id_seq'::regclass)", "int32") == Default("next")


def test_written() -> None:
    def of(family: str, kind: str, text: str = "") -> str | None:
        return expression(Column("c", 1, LogicalType(family), "x", simple=Default(kind, text)))  # type: ignore[arg-type]

    assert of("text", "value", "it's \\") == "E'it''s \\\\'"
    assert of("bytes", "value", "00ff") == "E'\\\\x00ff'"
    assert of("timestamptz", "value", "2020-01-01 00:00:00") == "'2020-01-01 00:00:00+00'"
    assert (of("date", "now"), of("timestamp", "now")) == ("CURRENT_DATE", "CURRENT_TIMESTAMP")
    assert of("int64", "next") is None
