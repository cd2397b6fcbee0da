import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables.rows import moments
from fastnn.data.tables.schema import Schema


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30_000), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_moments_over_blocks_are_those_of_the_whole(n, mean, std):
    x = np.random.default_rng(n).normal(mean, std, (n, 40))
    schema = Schema.of_numbers(40)
    found = moments(schema.columns, x)
    np.testing.assert_allclose(found[0], x.mean(axis=0), rtol=1e-9, atol=1e-9 * std)
    expected = np.where(x.std(axis=0) > 0, x.std(axis=0), 1) if n > 1 else np.ones(40)
    np.testing.assert_allclose(found[1], expected, rtol=1e-6)
