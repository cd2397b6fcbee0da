"""Pictures of a report: those there are figures for, and nothing cut off."""

import numpy as np
import pytest
from matplotlib.image import imread

from bench import pictures, sections
from bench.measure import Spread
from bench.report import Report, Target, figure
from bench.workloads import TABLE

PEERS = ("fastnn", "PyTorch", "JAX", "NumPy")


def spread(value):
    return Spread(value, 0.9 * value, 1.2 * value, 5)


def training():
    for workload in TABLE.values():
        for factor, peer in zip((9.0, 2.0, 40.0), PEERS[1:], strict=True):
            target = Target(8) if peer == "PyTorch" else None
            yield figure(sections.STEP_RATIOS, workload.name, peer, spread(factor), target)


def roofline():
    yield figure(sections.MACHINE, "float32 multiply-adds", "GFLOP/s", 250.0)
    yield figure(sections.MACHINE, "copy", "GB/s", 12.0)
    for section in (sections.SQUARES, sections.PRODUCTS):
        for n in (8, 64, 512):
            for peer in PEERS:
                rate = spread(min(200, 3.0 * n))
                yield figure(section, f"{n}", f"{peer}, GFLOP/s", rate, at=n / 6)


def elementwise():
    for size in sections.ELEMENTWISE_SIZES:
        for function in ("relu", "tanh", "softmax-cross-entropy", "Adam"):
            for place, peer in enumerate(PEERS):
                value = spread(0.2 + place)
                yield figure(sections.elementwise(size), function, peer, value)
            yield figure(sections.elementwise(size), function, "moving the bytes", 0.1)


def runs():
    for goal, seconds in ((97, 0.5), (98, 2.0)):
        for peer in PEERS:
            yield figure(sections.TO_ACCURACY, f"seconds to {goal}%", peer, spread(seconds))


def memory():
    for peer in PEERS:
        yield figure(sections.RUN_MEMORY, "digits to 97%", peer, spread(100.0))


def starting():
    for name in ("fastnn, warm", "PyTorch", "`import torch` alone"):
        yield figure(sections.TRAINED, name, "s", spread(2.0))


def growth():
    for axis in sections.GROWTH:
        for n in (1, 2, 4, 1024, 4096, 100_000):
            for factor, peer in enumerate(PEERS[:3], 1):
                value = spread(7.0 * factor * n**0.5)
                yield figure(sections.growth(axis), f"{n:,}", peer, value, at=n)


MADE = {
    "training": training, "roofline": roofline, "elementwise": elementwise, "whole-runs": runs,
    "starting": starting, "memory": memory, "growth": growth,
}  # fmt: skip


def report_of(figures):
    made = Report()
    made.start()
    for each in figures:
        made.add(each)
    return made


def test_every_picture_is_tried():
    assert set(MADE) == set(pictures.PICTURES)


@pytest.mark.parametrize("name", MADE)
def test_a_picture_is_drawn_with_a_margin(name, tmp_path):
    (path,) = pictures.draw(report_of(MADE[name]()), tmp_path, "latest")
    assert path.name == f"latest-{name}.png"
    image = imread(path)[..., :3]
    assert image.std() > 0.05
    edges = np.concatenate([image[:2].ravel(), image[-2:].ravel(), image[:, :2].ravel()])
    assert (edges == 1).all()


@pytest.mark.parametrize("name", MADE)
def test_one_figure_is_enough(name, tmp_path):
    figures = [each for each in MADE[name]() if each.section != sections.MACHINE]
    assert pictures.draw(report_of(figures[:1]), tmp_path, "latest")


def test_pictures_of_which_there_are_no_figures_are_gone(tmp_path):
    stale = tmp_path / "latest-growth.png"
    stale.write_bytes(b"old")
    assert pictures.draw(report_of([]), tmp_path, "latest") == []
    assert not stale.exists()
