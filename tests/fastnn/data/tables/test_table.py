import pytest

from fastnn.data.tables.table import few, number_text


@pytest.mark.parametrize(
    ("number", "text"),
    [(3.0, "3"), (-0.0, "0"), (2.5, "2.5"), (True, "True"), (float("nan"), None)],
)
def test_numbers_as_texts(number, text):
    assert number_text(number) == text


def test_the_first_names_and_how_many_more():
    assert few(["a", "b"]) == "a, b"
    assert few([str(i) for i in range(2000)], 2) == "0, 1 and 1,998 more"
