"""Lists in sentences: a long one is cut, and shows that it is."""

import pytest

from lrwidget.text.lists import first_of


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (1, "a"), (3, "a, b, c"), (4, "a, b, c, …"), (9, "a, b, c, …")]
)
def test_a_list_is_cut_where_it_is_long(count: int, text: str) -> None:
    assert first_of(list("abcdefghi"[:count]), 3) == text
