"""A slot's snapshot as text."""

import pytest

from connectors.postgres.export import readable


@pytest.mark.parametrize(
    ("told", "meant"),
    [("755:756:755", "755:756:755"), ("26115:26114:", "26115:26115:"), ("99:100:99", "99:100:99"), ("7:7:", "7:7:")],
)
def test_a_snapshot_whose_xmin_is_beyond_its_xmax_is_readable(told: str, meant: str) -> None:
    """The server itself refuses the first form of 26115:26114: as input."""
    assert readable(told) == meant
