import pytest
from kit import FLOATS


@pytest.fixture(params=FLOATS)
def dtype(request):
    return request.param


@pytest.fixture(params=[1, 2, 3, 5])
def threads(request):
    return request.param
