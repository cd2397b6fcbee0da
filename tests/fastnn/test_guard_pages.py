"""No function of `kernels` and no instruction touches a byte outside its arrays."""

import sys
from pathlib import Path

import pytest

import processors
from processors import PROCESSORS, run_as

SCRIPT = str(Path(processors.__file__).with_name("guard_runs.py"))

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="protects memory as Linux does"
)


def check(processor, side, folder):
    command = ["-W", "ignore", "-X", "faulthandler", SCRIPT, side]
    assert run_as(processor, command, folder).splitlines()[-1] == "not run:"


@pytest.mark.parametrize("side", ["after", "before"])
def test_everything_runs_beside_forbidden_pages(side, tmp_path):
    check(None, side, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["after", "before"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_on_another_processor(processor, side, tmp_path):
    check(processor, side, tmp_path)
