"""Experiments run once for all tests of them, and images in place of MNIST."""

import numpy as np
import pytest

from fastnn import reports as experiments
from fastnn.reports.study import Study
from idx_files import packed_idx


@pytest.fixture(scope="session")
def conducted(tmp_path_factory):
    """A function of a name and a share of its epochs: the study, by both libraries, made once."""
    studies = {}

    def conduct(name, share):
        if (name, share) not in studies:
            study = Study(tmp_path_factory.mktemp(name), share=share)
            experiments.load(name).run(study)
            studies[name, share] = study
        return studies[name, share]

    return conduct


@pytest.fixture(scope="session")
def like_mnist(tmp_path_factory):
    """A folder of as many images as the experiment draws: noise about a pattern for each digit."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    patterns = rng.integers(0, 200, (10, 28, 28)) * (rng.random((10, 28, 28)) < 0.3)
    for name, rows in (("train", 30_000), ("t10k", 5_000)):
        labels = rng.integers(0, 10, rows)
        noise = rng.integers(0, 56, (rows, 28, 28), np.uint8)
        images = packed_idx(patterns[labels] + noise)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(packed_idx(labels))
    return folder


def _held(study, *, but=()):
    """fastnn and PyTorch lie on each other in every run of a study: the issue's own bounds."""
    compared = [run for run in study.comparisons if run.name not in but]
    assert compared
    for run in compared:
        agreement = run.agreement()
        assert agreement["largest_relative_difference_early"] < 1e-3, run.name
        assert agreement["test_accuracy_difference"] <= 0.005, run.name


@pytest.fixture(scope="session")
def held():
    return _held
