"""Table patterns."""

import pytest

from cdcd.errors import UsageError
from cdcd.model.selection import Selection


@pytest.mark.parametrize(
    ("patterns", "yes", "no"),
    [
        ([], ["public.t", "a.b"], []),
        (["public.*"], ["public.t", "public.a.b"], ["other.t", "xpublic.t"]),
        (["*.t"], ["public.t"], ["public.tt"]),
        (["public.order_?"], ["public.order_1"], ["public.order_12", "public.order_"]),
        (["!public.log"], ["public.t"], ["public.log"]),
        (["public.*", "!public.log*"], ["public.t"], ["public.log", "public.log_2", "other.t"]),
        (["!public.log", "public.log"], [], ["public.log"]),
        (["public.a, public.b"], ["public.a", "public.b"], ["public.c"]),
        (["public.Zoë (x)"], ["public.Zoë (x)"], ["public.zoë (x)"]),
        (["public.[ab]"], ["public.[ab]"], ["public.a"]),
        (["public.*"], ["public.two\nlines"], []),
    ],
)
def test_matches(patterns: list[str], yes: list[str], no: list[str]) -> None:
    selection = Selection.of(patterns)
    for table in yes:
        assert selection.matches(table), table
    for table in no:
        assert not selection.matches(table), table


@pytest.mark.parametrize("pattern", ["orders", "public.", ".t", "!", "*"])
def test_no_pattern(pattern: str) -> None:
    with pytest.raises(UsageError, match="is not a table pattern") as caught:
        Selection.of([pattern])
    assert "public.*" in caught.value.hint


def test_nothing_given_is_everything() -> None:
    assert Selection.of(None) == Selection.of([]) == Selection()
