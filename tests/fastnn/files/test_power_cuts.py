"""After a power cut at any moment, an earlier complete state is found, and nothing damaged."""

import json
import os
import sys

import numpy as np
import pytest

import fastnn
from fastnn.files import container
from fastnn.files.atomic import append_line, make_folder, replacing
from fastnn.runs.results import BEST, RESULTS, Result, Results
from fastnn.runs.settings import Settings
from power_cuts import after_a_cut, build, recorded, states

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at open files")


# ---------------------------------------------------------------- the simulation itself


def test_what_is_not_synced_may_be_lost_in_part(tmp_path):
    with recorded(tmp_path) as recorder, open(tmp_path / "x", "wb") as file:
        file.write(b"abcd")
    found = {state.get("x") for _, state in states(recorder)}
    assert found == {None, b"", b"abcd", b"ab", b"ab\0\0", b"\0\0cd", b"\0" * 4}


def test_a_name_without_content_is_what_fsync_prevents(tmp_path):
    def write(sync):
        folder = tmp_path / str(sync)
        folder.mkdir()
        with recorded(folder) as recorder:
            with open(folder / "new", "wb") as file:
                file.write(b"abcd")
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.replace(folder / "new", folder / "x")
        return {state.get("x") for _, state in states(recorder)}

    assert b"ab" in write(sync=False)
    assert write(sync=True) == {None, b"abcd"}


def test_a_folder_that_is_not_synced_may_be_lost(tmp_path):
    with recorded(tmp_path) as recorder:
        os.mkdir(tmp_path / "a")
        append_line(tmp_path / "a" / "x", "abcd")
    last = list(after_a_cut(recorder.operations))
    assert {} in last
    with recorded(tmp_path) as recorder:
        make_folder(tmp_path / "b" / "c")
        append_line(tmp_path / "b" / "c" / "x", "abcd")
    last = list(after_a_cut(recorder.operations))
    assert last == [{"b": None, "b/c": None, "b/c/x": b"abcd\n"}]


# ---------------------------------------------------------------- what is written with it


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    done = []
    with recorded(tmp_path) as recorder:
        for content in (b"first" * 9, b"second" * 9):
            with replacing(tmp_path / "x") as file:
                file.write(content)
            done.append((len(recorder.operations), content))
    for count, state in states(recorder):
        written = [content for end, content in done if end <= count]
        allowed = {content for _, content in done} - set(written[:-1])
        assert state.get("x") in allowed | ({None} if not written else set())


def test_lines_that_were_written_stay(tmp_path):
    done = []
    with recorded(tmp_path) as recorder:
        for number in range(3):
            append_line(tmp_path / "x", json.dumps(number) * 10)
            done.append(len(recorder.operations))
    for count, state in states(recorder):
        lines = state.get("x", b"").split(b"\n")
        kept = sum(end <= count for end in done)
        assert lines[:kept] == [str(number).encode() * 10 for number in range(kept)]


def parts():
    model = fastnn.Sequential(
        fastnn.Linear(3, 4, seed=1), fastnn.ReLU(), fastnn.Linear(4, 2, seed=2)
    )
    return model, fastnn.Adam(model.parameters(), lr=0.1)


X, Y = np.random.default_rng(0).normal(size=(12, 3)).astype("f4"), np.arange(12) % 2


def train(path, resume=False, callbacks=()):
    """Train for three epochs; returns the losses and the bytes of the model."""
    model, optimizer = parts()
    history = fastnn.fit(
        model, X, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, epochs=3, batch_size=4,
        seed=0, checkpoint=path, resume=resume, callbacks=callbacks, threads=1,
    )  # fmt: skip
    return history.loss, [each.tobytes() for each in model.state_dict().values()]


def epoch_in(path):
    return container.read(path).description["training"]["epoch"]


def test_a_training_goes_on_after_a_power_cut_at_any_moment(tmp_path):
    """From the last checkpoint that was written as a whole, or the one being written."""
    root = tmp_path / "disk"
    root.mkdir()
    begun = []
    with recorded(root) as recorder:
        make_folder(root / "run")
        expected = train(
            root / "run" / "x",
            callbacks=[lambda training: begun.append(len(recorder.operations))],
        )
    results, tried = {}, 0
    for count, state in states(recorder):
        content = state.get("run/x")
        least = sum(count >= each for each in begun[1:]) + (count == len(recorder.operations))
        folder = tmp_path / f"cut{tried}"
        tried += 1
        build(state, folder)
        path = folder / "run" / "x"
        if least:
            assert epoch_in(path) in (least, least + 1)
        elif content is not None:
            assert epoch_in(path) == 1
        if content not in results:
            path.parent.mkdir(parents=True, exist_ok=True)
            results[content] = train(path, resume=True)
            assert [each.name for each in path.parent.iterdir()] == ["x"]
    assert set(map(repr, results.values())) == {repr(expected)}
    assert len(results) == 4  # nothing, and the checkpoints of three epochs
    assert tried > 50


def result(place, accuracy):
    return Result(Settings("disk", seed=place), "finished", val_accuracy=accuracy, val_loss=0.5)


def test_the_best_model_and_the_results_survive_a_power_cut_at_any_moment(tmp_path):
    """Each result that was kept is found, and the best model is the best result's."""
    root = tmp_path / "disk"
    root.mkdir()
    made = [result(place, accuracy) for place, accuracy in enumerate([0.5, 0.7, 0.6, 0.9])]
    models = [fastnn.Sequential(fastnn.Linear(2, 1, seed=place)) for place in range(4)]
    done = []
    with recorded(root) as recorder:
        make_folder(root / "run")
        with Results(root / "run") as found:
            for each, model in zip(made, models, strict=True):
                found.keep(each, each.to_bytes(model))
                done.append(len(recorder.operations))
    tried = 0
    for count, state in states(recorder):
        folder = tmp_path / f"cut{tried}"
        tried += 1
        build(state, folder)
        (folder / "run").mkdir(parents=True, exist_ok=True)
        with Results(folder / "run") as again:
            kept = sum(end <= count for end in done)
            accuracies = {each.val_accuracy for each in again.results.values()}
            assert accuracies >= {each.val_accuracy for each in made[:kept]}
            assert len(again.results) in (kept, kept + 1)
            assert again.lost is None
            if again.best is not None:
                own = models[again.best.settings.seed].state_dict()
                best = fastnn.load(folder / "run" / BEST).state_dict()
                assert all(np.array_equal(own[name], best[name]) for name in own)
        assert {each.name for each in (folder / "run").iterdir()} <= {BEST, RESULTS}
    assert tried > 100
