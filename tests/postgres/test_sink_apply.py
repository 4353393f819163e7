"""Changes applied to a PostgreSQL target as a role without special rights, with and without the right to switch
triggers and foreign keys off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cdcd.errors import Conflict, PoisonRow
from cdcd.model.cell import UNCHANGED
from cdcd.model.chunk import Chunk, State
from tests.postgres.sink_hand import Hand, define
from tests.servers import roles
from tests.servers.database import Database

Hands = Callable[..., Hand]


@pytest.fixture(params=[roles.TARGET, roles.TARGET_REPLICA])
def db(request: pytest.FixtureRequest, target_db: Database) -> Database:
    return target_db.as_role(request.param)


@pytest.fixture(params=[0, -1], ids=["binary", "text"])
def form(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def hand(db: Database) -> Iterator[Hands]:
    made: list[Hand] = []

    def make(ddl: str, *ids: str, form: int = 0, chunks: list[Chunk] | None = None) -> Hand:
        db.sql(ddl)
        made.append(Hand(db.url, define(db, *ids), form=form).begin(chunks=chunks))
        return made[-1]

    yield make
    for one in made:
        one.sink.close()


T = "CREATE TABLE t (id int PRIMARY KEY, v text, big text)"


class TestKeyed:
    def test_values_that_copy_must_not_read_as_something_else(self, db: Database, hand: Hands, form: int) -> None:
        h = hand(T, "public.t", form=form)
        texts = ["", "\\N", "\\.", "a\tb\nc\rd\\e", "ü", "\\\\", "\x01\x08\x0b"]
        h.apply(*(h.insert("public.t", number, text, None) for number, text in enumerate(texts)))
        h.apply(*(h.update("public.t", [number], number, UNCHANGED, text) for number, text in enumerate(texts)))
        assert db.sql("SELECT v, big FROM t ORDER BY id") == [(text, text) for text in texts]

    @pytest.mark.failure("TG-08")
    def test_every_key_moves_up_by_one(self, db: Database, hand: Hands, form: int) -> None:
        """UPDATE t SET id = id + 1: no statement for all of them can do it, one by one from the top does."""
        h = hand(T, "public.t", form=form)
        h.apply(*(h.insert("public.t", number, str(number), "x" * 9) for number in range(1, 201)))
        moves = [h.update("public.t", [n], n + 1, str(n), UNCHANGED) for n in range(200, 0, -1)]
        h.apply(*moves)
        assert db.sql("SELECT count(*), min(id), max(id), bool_and(id = v::int + 1 AND big = 'xxxxxxxxx') FROM t") == [
            (200, 2, 201, True)
        ]

    @pytest.mark.failure("TG-01")
    def test_unique_values_rotate(self, db: Database, hand: Hands) -> None:
        h = hand("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE)", "public.t")
        h.apply(*(h.insert("public.t", n, n) for n in range(100)))
        out = [h.update("public.t", [n], n, -1 - n) for n in range(100)]
        back = [h.update("public.t", [n], n, (n + 1) % 100) for n in range(100)]
        h.apply(*out, *back)
        h.apply(h.delete("public.t", 0), h.insert("public.t", 100, 1))
        assert db.sql("SELECT count(*), sum(id), sum(u) FROM t") == [(100, 5050, 4950)]

    @pytest.mark.failure("T-FO-1")
    def test_moves_keep_what_was_not_sent(self, db: Database, hand: Hands, form: int) -> None:
        h = hand(T, "public.t", form=form)
        big = "b" * 200_000
        h.apply(h.insert("public.t", 1, "one", big), h.insert("public.t", 2, "two", big + "2"))
        h.apply(
            h.update("public.t", [1], 3, "w", UNCHANGED),
            h.update("public.t", [3], 4, UNCHANGED, UNCHANGED),
            h.update("public.t", [2], 2, UNCHANGED, UNCHANGED),
            h.insert("public.t", 1, "new", None),
        )
        assert db.sql("SELECT id, v, length(big) FROM t ORDER BY id") == [
            (1, "new", None), (2, "two", 200_001), (4, "w", 200_000),
        ]  # fmt: skip

    def test_many_sets_of_cells(self, db: Database, hand: Hands) -> None:
        columns = [f"c{number}" for number in range(40)]
        h = hand(f"CREATE TABLE t (id int PRIMARY KEY, {', '.join(f'{c} text' for c in columns)})", "public.t")
        h.apply(*(h.insert("public.t", n, *["old"] * 40) for n in range(40)))
        for _ in range(2):
            cells = [[UNCHANGED] * n + ["new"] + [UNCHANGED] * (39 - n) for n in range(40)]
            h.apply(*(h.update("public.t", [n], n, *cells[n]) for n in range(40)))
        for number, column in enumerate(columns):
            assert db.sql(f"SELECT id FROM t WHERE {column} = 'new'") == [(number,)]

    def test_a_table_of_keys_only(self, db: Database, hand: Hands) -> None:
        h = hand("CREATE TABLE t (a int, b text, PRIMARY KEY (b, a))", "public.t")
        h.apply(h.insert("public.t", 1, "x"), h.insert("public.t", 2, "y"))
        h.apply(h.update("public.t", ["x", 1], 1, "x"), h.update("public.t", ["y", 2], 3, "z"))
        h.apply(h.delete("public.t", "x", 1))
        assert db.sql("SELECT a, b FROM t") == [(3, "z")]

    @pytest.mark.failure("T-FO-3")
    def test_keys_that_only_the_server_compares(self, db: Database, hand: Hands) -> None:
        """1.0 and 1.00 are one key: folded by bytes this is a delete and an insert that collide."""
        h = hand("CREATE TABLE n (k numeric PRIMARY KEY, v int); " + T, "public.n", "public.t", form=-1)
        assert not h.tables["public.n"].foldable
        h.apply(h.insert("public.n", "1.0", 1), h.insert("public.t", 1, "a", None))
        h.apply(
            h.update("public.n", ["1.0"], "1.00", 2),
            h.update("public.t", [1], 1, "b", None),
            h.update("public.n", ["1.00"], "1.000", 3),
        )
        assert db.sql("SELECT k::text, v FROM n") == [("1.000", 3)]
        assert db.sql("SELECT v FROM t") == [("b",)]

    def test_the_key_is_another_than_the_primary_one(self, db: Database, hand: Hands) -> None:
        """T-DE-9"""
        h = hand(
            "CREATE TABLE t (id int PRIMARY KEY, email text NOT NULL UNIQUE, v int);"
            "ALTER TABLE t REPLICA IDENTITY USING INDEX t_email_key",
            "public.t",
        )
        assert h.tables["public.t"].key == ("email",)
        h.apply(h.insert("public.t", 1, "a", 0), h.insert("public.t", 2, "b", 0))
        h.apply(h.update("public.t", ["a"], 7, "a", 1), h.delete("public.t", "b"))
        assert db.sql("SELECT id, email, v FROM t") == [(7, "a", 1)]

    def test_a_partitioned_table(self, db: Database, hand: Hands) -> None:
        h = hand(
            "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
            "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100);"
            "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (100) TO (200)",
            "public.t",
        )
        h.apply(*(h.insert("public.t", number, "a") for number in range(0, 200, 10)))
        h.apply(h.update("public.t", [10], 153, "moved"), h.delete("public.t", 110), h.update("public.t", [0], 0, "b"))
        assert db.sql("SELECT count(*) FROM t1") == [(9,)]
        assert db.sql("SELECT v FROM t2 WHERE id = 153") == [("moved",)]

    def test_the_stage_is_emptied_between_groups_and_pieces(self, db: Database, hand: Hands) -> None:
        h = hand(T, "public.t")
        h.apply(*(h.insert("public.t", number, "0", None) for number in range(3000)))
        for turn in range(4):
            h.piece(*(h.update("public.t", [n], n, f"{turn}", None) for n in range(3000)))
            h.piece(*(h.update("public.t", [n], n, f"{turn}", None) for n in range(turn, 2900)))
            h.apply(*(h.update("public.t", [n], n, f"{turn}.", None) for n in range(turn, 7)))
        assert db.sql("SELECT v, count(*) FROM t GROUP BY 1 ORDER BY 1") == [("3", 2996), ("3.", 4)]


class TestKeyless:
    @pytest.mark.failure("PG-17")
    def test_twins_and_values_without_equality(self, db: Database, hand: Hands) -> None:
        ddl = "CREATE TABLE k (a int, j json, f float8, p point); ALTER TABLE k REPLICA IDENTITY FULL"
        h = hand(ddl, "public.k", form=-1)
        twin = (1, '{"a": 1}', "NaN", "(1,2)")
        other = (None, None, "-0", None)
        h.apply(*(h.insert("public.k", *row) for row in (twin, twin, twin, other, other, (None,) * 4)))
        h.apply(h.delete("public.k", *twin), h.delete("public.k", *other), h.update("public.k", twin, 2, None, 1, None))
        assert db.sql("SELECT a, j::text, f::text, p::text FROM k ORDER BY a, f") == [
            (1, '{"a": 1}', "NaN", "(1,2)"), (2, None, "1", None), (None, None, "-0", None), (None,) * 4,
        ]  # fmt: skip
        with pytest.raises(Conflict) as caught:
            h.apply(h.delete("public.k", *twin), h.delete("public.k", *twin))
        assert '(1,"{""a"": 1}",NaN,"(1,2)")' in str(caught.value)

    @pytest.mark.failure("T-FO-4")
    def test_in_a_group_with_its_own_insert(self, db: Database, hand: Hands, form: int) -> None:
        h = hand("CREATE TABLE k (a int, b text); ALTER TABLE k REPLICA IDENTITY FULL", "public.k", form=form)
        row = (1, "x")
        h.apply(h.insert("public.k", *row), h.insert("public.k", *row), h.delete("public.k", *row))
        h.apply(h.delete("public.k", *row), h.insert("public.k", 2, "y"), h.update("public.k", (2, "y"), 3, "z"))
        assert db.sql("SELECT a, b FROM k") == [(3, "z")]

    def test_leaves_of_a_partitioned_table(self, db: Database, hand: Hands) -> None:
        """A ctid names a row only together with its leaf."""
        h = hand(
            "CREATE TABLE k (a int, b text) PARTITION BY LIST (a); ALTER TABLE k REPLICA IDENTITY FULL;"
            "CREATE TABLE k1 PARTITION OF k FOR VALUES IN (1); CREATE TABLE k2 PARTITION OF k FOR VALUES IN (2)",
            "public.k",
        )
        h.apply(*(h.insert("public.k", number, "x") for number in (1, 2, 1, 2)))
        h.apply(h.delete("public.k", 1, "x"))
        assert db.sql("SELECT a FROM k ORDER BY 1") == [(1,), (2,), (2,)]


class TestNamed:
    """The one at fault, by table, key and position, whether it is alone or among many."""

    @pytest.mark.parametrize("others", [0, 300])
    @pytest.mark.failure("TG-07")
    def test_an_update_that_meets_nothing(self, db: Database, hand: Hands, others: int) -> None:
        h = hand(T, "public.t")
        h.apply(*(h.insert("public.t", number, "a", None) for number in range(others)))
        changes = [h.update("public.t", [number], number, "b", None) for number in [*range(others), 4711]]
        with pytest.raises(Conflict) as caught:
            h.apply(*changes)
        where = caught.value.where
        assert (where["table"], where["key"], where["change"], where["position"]) == (
            "public.t", "4711", "update", f"0/{h.at + 1:X}",
        )  # fmt: skip
        assert db.sql("SELECT count(*) FROM t WHERE v = 'b'") == [(0,)]

    @pytest.mark.failure("OP-03")
    def test_a_value_that_the_target_refuses(self, db: Database, hand: Hands, form: int) -> None:
        h = hand("CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v <> 'bad'))", "public.t", form=form)
        h.apply(h.insert("public.t", 7, "good"))
        for change in (h.insert("public.t", 8, "bad"), h.update("public.t", [7], 7, "bad")):
            with pytest.raises(PoisonRow) as caught:
                h.apply(*(h.insert("public.t", number, "good") for number in range(100, 200)), change)
            assert caught.value.where["key"] in ("7", "8")
            assert "check constraint" in str(caught.value)
            h.sink.close()
            h = Hand(db.url, list(h.tables.values()), form=form).begin(take_over=False)
        h.sink.close()

    @pytest.mark.failure("TG-06")
    def test_a_value_that_does_not_fit(self, db: Database, hand: Hands) -> None:
        """The temporary table refuses it, before any statement sees it."""
        h = hand("CREATE TABLE t (id int PRIMARY KEY, v varchar(3))", "public.t")
        h.apply(h.insert("public.t", 1, "abc"))
        for text in ("abcd", "a\0b"):
            with pytest.raises(PoisonRow) as caught:
                h.apply(h.update("public.t", [1], 1, text))
            assert (caught.value.where["table"], caught.value.where["key"]) == ("public.t", "1")
            h.sink.close()
            h = Hand(db.url, list(h.tables.values())).begin(take_over=False)
        h.sink.close()

    def test_a_deferred_constraint_speaks_before_the_commit(self, db: Database, target_db: Database) -> None:
        db = target_db.as_role(roles.TARGET)  # under replica role nobody checks it
        db.sql("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, "
               "p int REFERENCES p DEFERRABLE INITIALLY IMMEDIATE)")  # fmt: skip
        h = Hand(db.url, define(db, "public.p", "public.c")).begin()
        h.apply(h.insert("public.c", 1, 5), h.insert("public.p", 5))
        with pytest.raises(Conflict) as caught:
            h.apply(h.insert("public.c", 2, 6))
        assert "foreign key" in str(caught.value)
        h.sink.close()


class TestForeignKeys:
    DDL = (
        "CREATE TABLE p (id int PRIMARY KEY, v text);"
        "CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE);"
        "CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE)"
    )

    @pytest.mark.failure("TG-02")
    def test_whatever_the_order_of_the_tables_in_the_log(self, db: Database, hand: Hands) -> None:
        h = hand(self.DDL, "public.c", "public.p", "public.tree")
        c, p = "public.c", "public.p"
        h.apply(h.insert(p, 1, "a"), h.insert(c, 10, 1), h.insert(p, 2, "b"), h.insert(c, 20, 2))
        h.apply(h.update(c, [10], 10, 2), h.delete(p, 1), h.insert(p, 3, "c"), h.insert(c, 30, 3))
        h.apply(h.delete(c, 30), h.delete(c, 20), h.delete(c, 10), h.delete(p, 3), h.delete(p, 2))
        assert db.sql("SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM c)") == [(0, 0)]

    @pytest.mark.failure("T-PT-3")
    def test_what_the_source_cascaded(self, db: Database, hand: Hands) -> None:
        """A deleted parent comes with its children's deletes, after it; a new key of it with their updates."""
        h = hand(self.DDL, "public.c", "public.p", "public.tree")
        c, p, tree = "public.c", "public.p", "public.tree"
        h.apply(h.insert(p, 1, "a"), h.insert(p, 2, "b"), h.insert(c, 10, 1), h.insert(c, 20, 2), h.insert(c, 21, 2))
        h.apply(h.delete(p, 2), h.delete(c, 20), h.delete(c, 21))
        h.apply(h.update(p, [1], 5, "a"), h.update(c, [10], 10, 5))
        assert db.sql("SELECT id, p FROM c") == [(10, 5)]
        h.apply(h.insert(tree, 1, None), h.insert(tree, 2, 1), h.insert(tree, 3, 2))
        h.apply(h.delete(tree, 1), h.delete(tree, 2), h.delete(tree, 3))
        assert db.sql("SELECT id FROM tree") == []

    @pytest.mark.failure("T-PT-1", "PG-19")
    def test_truncates_in_one_statement(self, db: Database, hand: Hands) -> None:
        h = hand(self.DDL + "; CREATE TABLE s (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)",
                 "public.c", "public.p", "public.tree", "public.s")  # fmt: skip
        c, p = "public.c", "public.p"
        db.sql("SELECT nextval('s_id_seq') FROM generate_series(1, 9)")
        h.apply(h.insert(p, 1, "a"), h.insert(c, 10, 1), h.insert("public.s", 3))
        h.apply(h.insert(p, 2, "b"), h.truncate(p, c), h.insert(p, 1, "new"), h.truncate("public.s", restart=True))
        assert db.sql("SELECT id, v FROM p") == [(1, "new")]
        assert db.sql("SELECT id FROM c") == []
        assert db.sql("SELECT nextval('s_id_seq')") == [(1,)]
        with pytest.raises(Conflict) as caught:
            h.apply(h.truncate(p))
        assert "public.p" in str(caught.value)
        assert '"c" references "p"' in str(caught.value)


class TestPieces:
    @pytest.mark.failure("T-PT-4")
    def test_a_piece_that_cannot_be_made_in_bulk(self, db: Database, hand: Hands) -> None:
        h = hand("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE)", "public.t")
        h.piece(*(h.insert("public.t", n, n) for n in range(50)))
        h.piece(*(h.update("public.t", [n], n, -1 - n) for n in range(50)),
                *(h.update("public.t", [n], n, (n + 1) % 50) for n in range(50)))  # fmt: skip
        h.piece(*(h.update("public.t", [n], n + 1, (n + 1) % 50) for n in range(49, -1, -1)))
        h.apply(h.delete("public.t", 1))
        assert db.sql("SELECT count(*), min(id), max(id), sum(u) FROM t") == [(49, 2, 50, 49 * 25 - 1)]

    def test_a_piece_that_fails_takes_all_with_it(self, db: Database, hand: Hands) -> None:
        h = hand(T, "public.t")
        h.apply(h.insert("public.t", 1, "a", None))
        h.piece(h.update("public.t", [1], 1, "b", None))
        h.piece(h.truncate("public.t"))
        with pytest.raises(Conflict) as caught:
            h.piece(h.delete("public.t", 1))
        assert caught.value.where["key"] == "1"
        h.sink.close()
        assert db.sql("SELECT v FROM t") == [("a",)]


class TestUnread:
    LOW = Chunk("public.t", 0, None, ("100", "b"), ("id", "v"), State.IN)
    HIGH = Chunk("public.t", 1, ("100", "b"), None, ("id", "v"), State.IN)
    DDL = "CREATE TABLE t (id int, v text, big text, PRIMARY KEY (id, v))"

    @pytest.mark.failure("T-PG-8")
    def test_a_range_of_a_composite_key(self, db: Database, hand: Hands) -> None:
        h = hand(self.DDL, "public.t", chunks=[self.LOW, self.HIGH])
        for key in ((1, "a"), (100, "a"), (100, "b"), (101, "a")):
            h.apply(h.insert("public.t", *key, None))
        h.apply(h.insert("public.t", 2, "a", None), unread=[self.LOW])
        assert db.sql("SELECT id, v FROM t ORDER BY 1, 2") == [(100, "b"), (101, "a")]
        assert db.sql("SELECT number, state FROM cdcd.chunks ORDER BY 1") == [(0, "unread"), (1, "in")]
        assert h.load(self.LOW.with_state(State.UNREAD), [(7, "q'\\", None)]) == 1
        h.apply(h.delete("public.t", 101, "a"), unread=[self.HIGH])
        assert db.sql("SELECT id FROM t") == [(7,)]

    def test_what_was_recorded_of_its_rows_is_settled(self, db: Database, hand: Hands) -> None:
        """And nothing of another range; a key that no row of the table can have has no range."""
        h = hand("CREATE TABLE t (id int, v varchar(3), big text, PRIMARY KEY (id, v))", "public.t",
                 chunks=[self.LOW, self.HIGH])  # fmt: skip
        h.apply(h.insert("public.t", 1, "a", None))
        record = (
            "INSERT INTO cdcd.exceptions (pipeline, table_id, op, key, error, state)"
            " VALUES ('hand', 'public.t', 'insert', jsonb_build_object('id', %s::text, 'v', %s::text), 'x', 'open')"
        )
        for key in (("100", "a"), ("100", "b"), ("7", "%"), ("900", "a")):
            db.sql(record, *key)
        h.apply(unread=[self.LOW])
        states = "SELECT key->>'id', key->>'v', state FROM cdcd.exceptions ORDER BY id"
        assert db.sql(states) == [
            ("100", "a", "superseded"), ("100", "b", "open"), ("7", "%", "superseded"), ("900", "a", "open"),
        ]
        h.load(self.LOW.with_state(State.UNREAD), [(7, "x", None)])
        db.sql(record, "6", "too long")
        db.sql(record, "5", "b")
        h.apply(unread=[self.LOW])
        assert db.sql(states)[4:] == [("6", "too long", "open"), ("5", "b", "superseded")]

    @pytest.mark.failure("T-PT-7")
    def test_a_whole_table_that_others_refer_to(self, target_db: Database) -> None:
        db = target_db.as_role(roles.TARGET_REPLICA)
        db.sql(TestForeignKeys.DDL)
        h = Hand(db.url, define(db, "public.p", "public.c")).begin()
        h.apply(h.insert("public.p", 1, "a"), h.insert("public.c", 10, 1))
        h.apply(unread=[Chunk("public.p", 0, state=State.IN)])
        assert db.sql("SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM c)") == [(0, 1)]
        h.load(Chunk("public.p", 0), [(1, "a")])
        h.apply(unread=[Chunk("public.c", 0, state=State.IN)])
        assert db.sql("SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM c)") == [(1, 0)]
        h.sink.close()


def test_triggers_of_the_target_do_not_run_again(target_db: Database) -> None:
    """TG-04, where the role may say so."""
    db = target_db.as_role(roles.TARGET_REPLICA)
    db.sql(T + "; CREATE TABLE audit (id int); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
           "'BEGIN INSERT INTO public.audit VALUES (NEW.id); RETURN NEW; END';"
           "CREATE TRIGGER noted AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()")  # fmt: skip
    h = Hand(db.url, define(db, "public.t")).begin()
    h.apply(h.insert("public.t", 1, "a", None))
    h.apply(h.update("public.t", [1], 1, "b", None))
    assert db.sql("SELECT count(*) FROM audit") == [(0,)]
    h.sink.close()
