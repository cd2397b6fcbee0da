import numpy as np
import pytest

from fastnn.data.tables.table import as_texts, missing_values, number_text


@pytest.mark.parametrize(
    ("number", "text"),
    [(3.0, "3"), (-0.0, "0"), (2.5, "2.5"), (True, "True"), (float("nan"), None)],
)
def test_numbers_as_texts(number, text):
    assert number_text(number) == text


def test_columns_as_texts_and_what_is_missing():
    assert as_texts(np.array([1.0, np.nan, 0.5])).tolist() == ["1", None, "0.5"]
    assert as_texts(np.array([7, 8])).tolist() == ["7", "8"]
    assert missing_values(np.array([1.0, np.nan])).tolist() == [False, True]
    assert missing_values(np.array(["a", None], object)).tolist() == [False, True]
    assert missing_values(np.array([1, 2])).tolist() == [False, False]
