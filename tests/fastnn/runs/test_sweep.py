import dataclasses
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnn
from fastnn import datasets
from fastnn.files import atomic
from fastnn.runs import search
from fastnn.runs.results import BEST, RESULTS, Result, read_results
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings
from fastnn.runs.sweep import Sweep, train_all

FIXED = {"dataset": "disk", "epochs": 2, "subset": 200}
CHOICES = {"hidden": [(4,), (8, 4)], "lr": [0.05, 0.2], "seed": [0, 1]}


@pytest.fixture(scope="module")
def disk():
    return datasets.load("disk", subset=200)


def points():
    return search.grid(FIXED, CHOICES)


@pytest.fixture(scope="module")
def whole(disk, tmp_path_factory):
    """A sweep from end to end."""
    with Sweep(points(), tmp_path_factory.mktemp("whole")) as sweep:
        results = list(sweep.run(disk, 2))
    return sweep, results


def plain(result):
    """A result without what is different each time."""
    return dataclasses.replace(result, seconds=0.0)


def save(result, data, folder):
    """Train and write the model of a result as the best one; returns the result."""
    run = Run(result.settings, data)
    run.train()
    (folder / BEST).write_bytes(result.to_bytes(run.model))
    return result


def assert_best(folder):
    """Check that the best model in a folder is the best result's, by training it."""
    best = max(read_results(folder / RESULTS), key=lambda each: each.rank)
    run = Run(best.settings, datasets.load("disk", subset=best.settings.subset))
    run.train()
    assert (best.loss, best.val_loss) == (run.history.loss[-1], run.history.val_loss[-1])
    kept = fastnn.load(folder / BEST).state_dict()
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(kept[name], array, strict=True)


def by_key(results):
    return {search.key_of(each.settings): plain(each) for each in results}


def test_every_point_is_trained_as_by_itself(whole, disk):
    sweep, results = whole
    assert sweep.left == []
    assert len(results) == 8
    assert sweep.trained == 8
    assert sweep.rate == 8 / sweep.seconds
    for result in results:
        run = Run(result.settings, disk)
        run.train()
        assert result.settings.threads == 1
        assert result.outcome == "finished"
        assert result.parameters == run.parameters
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert getattr(result, name) == getattr(run.history, name)[-1]


def test_the_best_model_is_kept(whole, disk):
    sweep, results = whole
    best = max(results, key=lambda each: (each.val_accuracy, -each.val_loss))
    assert plain(sweep.best) == plain(best)
    run = Run(best.settings, disk)
    run.train()
    kept = fastnn.load(sweep.folder / BEST)
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(kept.state_dict()[name], array, strict=True)


def test_the_file_of_results_is_a_line_each(whole):
    sweep, results = whole
    lines = (sweep.folder / RESULTS).read_text().splitlines()
    assert by_key(map(Result.from_line, lines)) == by_key(results)
    assert json.loads(lines[0])["settings"]["dataset"] == "disk"


@pytest.mark.parametrize("lines", [0, 3, 7, 8])
@pytest.mark.parametrize("torn", ["", '{"settings": {"dat'])
def test_a_sweep_goes_on_with_what_has_no_line(lines, torn, whole, disk, tmp_path):
    sweep, results = whole
    done = (sweep.folder / RESULTS).read_text().splitlines(keepends=True)[:lines]
    (tmp_path / RESULTS).write_text("".join(done) + torn)
    if done:
        best = max(map(Result.from_line, done), key=lambda each: each.rank)
        save(best, disk, tmp_path)
    with Sweep(points(), tmp_path) as again:
        assert len(again.left) == 8 - lines
        list(again.run(disk, 1))
    assert again.trained == 8 - lines
    assert by_key(again.results.values()) == by_key(results)
    assert by_key(read_results(tmp_path / RESULTS)) == by_key(results)
    assert_best(tmp_path)


def test_a_best_model_that_is_missing_is_trained_again(whole, disk, tmp_path):
    sweep, _ = whole
    (tmp_path / RESULTS).write_bytes((sweep.folder / RESULTS).read_bytes())
    with Sweep(points(), tmp_path) as again:
        assert [each.seed for each in again.left] == [sweep.best.settings.seed]
        list(again.run(disk, 1))
    assert_best(tmp_path)
    with Sweep(points(), tmp_path) as again:
        assert again.left == []


def test_more_points_are_added(whole, disk, tmp_path):
    sweep, _ = whole
    for name in (RESULTS, BEST):
        (tmp_path / name).write_bytes((sweep.folder / name).read_bytes())
    more = search.grid(FIXED, {**CHOICES, "seed": [1, 2]})
    with Sweep(more, tmp_path) as again:
        assert {each.seed for each in again.left} == {2}
        list(again.run(disk, 2))
    assert len(again.results) == 12
    assert_best(tmp_path)


def test_a_loss_that_is_not_finite_is_a_result(disk, tmp_path):
    some = search.grid(FIXED, {"lr": [0.1, 1e30]})
    with Sweep(some, tmp_path) as sweep:
        results = {each.settings.lr: each for each in sweep.run(disk, 1)}
    assert results[1e30].outcome == "loss not finite"
    assert results[1e30].val_loss is None
    assert sweep.best.settings.lr == 0.1
    with Sweep(some, tmp_path) as again:
        assert again.left == []


def test_a_mistake_in_a_process_ends_the_sweep_and_keeps_what_was_done(whole, disk, tmp_path):
    wrong = dataclasses.replace(disk, mean=np.zeros(3, np.float32))
    with Sweep(points(), tmp_path) as sweep, pytest.raises(ValueError, match="3"):
        list(sweep.run(wrong, 1))
    assert len(read_results(tmp_path / RESULTS)) == sweep.trained


def test_pytorch_trains_the_same_networks(whole, disk):
    pytest.importorskip("torch")
    from fastnn.runs import in_torch

    _, results = whole
    found = list(train_all(in_torch.train, points(), disk, 1))
    assert len(found) == 8
    assert [seconds for seconds, _ in found] == sorted(seconds for seconds, _ in found)
    ours = np.mean([each.val_accuracy for each in results])
    assert abs(np.mean([each["val_accuracy"] for _, each in found]) - ours) < 0.2


TORCH = [
    {"schedule": "one-cycle", "label_smoothing": 0.1, "optimizer": "adam"},
    {"schedule": "plateau", "norm": "batch", "batch_size": 30, "optimizer": "adamw"},
    {"schedule": "step", "norm": "layer", "activation": "gelu", "dropout": 0.1},
    {"schedule": "constant", "loss": "mse", "hidden": (0,)},
]


@pytest.mark.parametrize("settings", TORCH, ids=lambda settings: settings["schedule"])
def test_pytorch_learns_as_well_from_any_settings(settings):
    pytest.importorskip("torch")
    from fastnn.runs import in_torch

    digits = datasets.load("digits", subset=600)
    whole = Settings("digits", **{"hidden": (32,), "epochs": 8, "threads": 1, **settings})
    run = Run(whole, digits)
    run.train()
    theirs = in_torch.train(whole, digits)
    assert theirs["val_accuracy"] == pytest.approx(run.history.val_accuracy[-1], abs=0.1)
    assert theirs["loss"] == pytest.approx(run.history.loss[-1], rel=0.3)
    assert theirs["val_loss"] == pytest.approx(run.history.val_loss[-1], rel=0.3)


PROGRAM = """
import sys, pathlib
from fastnn import datasets
from fastnn.runs import search
from fastnn.runs.sweep import Sweep
if __name__ == "__main__":
    fixed = {"dataset": "disk", "epochs": 2, "subset": 200}
    points = search.grid(fixed, {"hidden": [(4,), (8, 4)], "lr": [0.05, 0.2], "seed": [0, 1]})
    sweep = Sweep(points, pathlib.Path(sys.argv[1]))
    for _ in sweep.run(datasets.load("disk", subset=200), 2):
        print("result", flush=True)
        sys.stdin.read()
"""


def sweep_killed(folder):
    """Run a sweep in a process that is killed after a result; gives its processes."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder], stdout=subprocess.PIPE, stdin=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    with child.stdout, child.stdin:
        assert child.stdout.readline() == b"result\n"
        group = [int(each) for each in _group(child.pid)]
        child.kill()
        child.wait()
    return group


def _group(leader):
    found = subprocess.run(["ps", "-o", "pid=", "-g", str(leader)], capture_output=True, check=True)
    return found.stdout.split()


def test_two_sweeps_in_one_folder_the_second_is_told(disk, tmp_path):
    with Sweep(points()[:2], tmp_path) as sweep:
        for _ in sweep.run(disk, 1):
            before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
            with pytest.raises(
                OSError, match=f"^{re.escape(str(tmp_path))}: another run writes there now"
            ):
                Sweep(points(), tmp_path)
            assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [BEST, RESULTS]
    Sweep(points(), tmp_path).close()


class KilledError(Exception):
    """A process is over."""


@pytest.mark.parametrize("moment", ["model", "line"])
@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("killed", [0, 1])
def test_the_best_model_is_that_of_the_best_result_whenever_one_is_killed(
    killed, other, moment, disk, tmp_path, monkeypatch
):
    """Also if the next command has other settings, and never trains what was killed."""
    name = {"model": "replacing", "line": "append_line"}[moment]
    job, left = getattr(atomic, name), [killed]

    def die(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KilledError
        return job(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, name, die)
        # Of two epochs, then of one: each model that comes is better than those before it.
        rising = search.grid(FIXED, {"lr": [1e-6, 0.01, 0.3]})
        with Sweep(rising, tmp_path) as sweep, pytest.raises(KilledError):
            list(sweep.run(disk, 1))
    more = search.grid(FIXED, {"lr": [2e-6]}) if other else rising
    with Sweep(more, tmp_path) as again:
        list(again.run(disk, 1))
    assert_best(tmp_path)
    assert len(read_results(tmp_path / RESULTS)) == len({*map(key, again.results.values())})


def key(result):
    return search.key_of(result.settings)


@pytest.mark.parametrize("content", [None, b"damaged", "old", "of another"])
def test_a_best_model_that_is_not_the_best_results_is_trained_by_any_command(
    content, whole, disk, tmp_path
):
    """As files of earlier versions, which do not tell the result, and files of somebody's own."""
    sweep, results = whole
    (tmp_path / RESULTS).write_bytes((sweep.folder / RESULTS).read_bytes())
    if content == "old":
        fastnn.save(fastnn.Sequential(fastnn.Linear(2, 2)), tmp_path / BEST)
    elif content == "of another":
        save(min(results, key=lambda each: each.rank), disk, tmp_path)
    elif content is not None:
        (tmp_path / BEST).write_bytes(content)
    other = search.grid({**FIXED, "subset": 150}, {"lr": [1e-6]})
    with Sweep(other, tmp_path) as again:
        assert again.left == [*again.points, again.best.settings]
        list(again.run(datasets.load("disk", subset=150), 1))
        assert again.left == []
    assert_best(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes")
def test_a_sweep_that_is_killed_goes_on(whole, disk, tmp_path):
    _, results = whole
    processes = sweep_killed(tmp_path)
    done = len(read_results(tmp_path / RESULTS))
    assert 1 <= done < 8
    with Sweep(points(), tmp_path) as again:
        assert len(again.left) == 8 - done
        list(again.run(disk, 2))
    assert by_key(again.results.values()) == by_key(results)
    assert_best(tmp_path)
    deadline = time.monotonic() + 60
    while any(map(_lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [each for each in processes if _lives(each)]


def _lives(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
