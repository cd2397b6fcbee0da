"""Seconds and memory of a command."""

import os
import sys

import pytest

from bench.process import CommandError, cost

pytestmark = pytest.mark.skipif(not hasattr(os, "wait4"), reason="no costs of child processes")

MEGABYTE = 1_000_000


def test_seconds_and_peak_memory():
    code = "import os, time; b = bytes(os.environ['N'].encode()) * 50_000_000; time.sleep(0.1)"
    found = cost([sys.executable, "-c", code], {"N": "x"})
    assert 0.1 < found.seconds < 30
    assert 50 * MEGABYTE < found.peak_bytes < 150 * MEGABYTE


def test_the_size_of_the_process_that_asks_does_not_count():
    ballast = b"x" * (300 * MEGABYTE)
    found = cost([sys.executable, "-c", "print('hello')"])
    assert len(ballast) > found.peak_bytes


def test_a_command_that_fails():
    with pytest.raises(CommandError, match="unhappy"):
        cost([sys.executable, "-c", "raise SystemExit('unhappy')"])
