import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from fastnn.runs.ridge import PENALTIES, ridge


@pytest.mark.parametrize("outputs", [None, 3])
@pytest.mark.parametrize(("rows", "inputs"), [(200, 5), (30, 60), (20, 20), (4, 2)])
def test_the_model_is_scikit_learns(rows, inputs, outputs):
    rng = np.random.default_rng(rows)
    x = rng.normal(1, 1, (rows, inputs))
    x[:, -1] = x[:, 0]  # which no model can tell apart
    y = x @ rng.normal(size=(inputs, outputs or 1)) + rng.normal(size=(rows, outputs or 1)) + 3
    y = y if outputs else y[:, 0]
    found, expected = ridge(x, y), RidgeCV(PENALTIES).fit(x, y)
    np.testing.assert_allclose(found.weight, np.atleast_2d(expected.coef_), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.bias, np.atleast_1d(expected.intercept_), rtol=1e-8)
    assert found.error == pytest.approx(-expected.best_score_, rel=1e-8)


def test_the_error_is_that_of_rows_left_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    found = ridge(x, y)
    errors = []
    for row in range(20):
        others = np.delete(np.arange(20), row)
        mean, middle = x[others].mean(axis=0), y[others].mean()
        z = x[others] - mean
        told = [
            middle
            + (x[row] - mean) @ np.linalg.solve(z.T @ z + a * np.eye(3), z.T @ (y[others] - middle))
            for a in PENALTIES
        ]
        errors.append((np.array(told) - y[row]) ** 2)
    assert found.error == pytest.approx(np.mean(errors, axis=0).min(), rel=1e-9)
