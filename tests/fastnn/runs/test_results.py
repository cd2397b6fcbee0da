import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn
from fastnn.runs.results import BEST, RESULTS, Result, Results, SweepFileError
from fastnn.runs.settings import Settings

GOOD = Result(Settings(), "finished", 0.5).to_line()


def changed(**values):
    return json.dumps({**json.loads(GOOD), **values})


def set_to(**values):
    return changed(settings={**json.loads(GOOD)["settings"], **values})


def refuse(line, folder):
    content = f"{GOOD}\n".encode() + line + f"\n{GOOD}\n".encode()
    (folder / RESULTS).write_bytes(content)
    with pytest.raises(SweepFileError, match=rf"{RESULTS}: line 2 is no result of a run"):
        Results(folder)
    assert (folder / RESULTS).read_bytes() == content
    assert [each.name for each in folder.iterdir()] == [RESULTS]


ODD = [
    "{}", "x", "[]", '{"settings": {}}', '{"settings": 3}', "", "null", "3", "nan", GOOD[:-9],
    GOOD + GOOD, f"\0{GOOD}", "\0" * 9, "[" * 100_000, '{"settings":' * 9999, "9" * 5000,
    changed(loss="0.5"), changed(loss=[]), changed(loss=True), changed(loss=10**400),
    changed(loss=float("nan")), changed(val_accuracy=float("inf")), changed(x=1),
    GOOD.replace("0.5", "1e999"), GOOD.replace('"loss": 0.5', '"loss": 0.5, "loss": 0.4'),
    changed(outcome=None), changed(outcome=3), changed(parameters=1.5), changed(seconds={}),
    set_to(epochs="3"), set_to(epochs=2.5), set_to(hidden=3), set_to(hidden="ab"),
    set_to(hidden=[[1]]), set_to(lr=True), set_to(lr=None, drop="ab"), set_to(dataset=None),
    set_to(target=5), set_to(impute=1), set_to(seed=10**400), set_to(x=3), set_to(activation={}),
]  # fmt: skip


@pytest.mark.parametrize("line", ODD, ids=lambda line: line[:30])
def test_a_line_that_is_no_result_is_named(line, tmp_path):
    refuse(line.encode(), tmp_path)
    refuse(line.encode() + b"\xff", tmp_path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each),
)


@given(place=st.sampled_from(["loss", "outcome", "settings", "x", "rank"]), value=VALUES)
def test_a_line_with_any_value_is_a_result_or_refused(place, value):
    line = changed(**{place: value})
    try:
        found = Result.from_line(line)
    except (AttributeError, LookupError, TypeError, ValueError):
        return
    assert Result.from_line(found.to_line()) == found
    assert sorted([found, Result.from_line(GOOD)], key=lambda each: each.rank)


@pytest.mark.parametrize(
    "tail", [b'{"settings": {"dat', b"\0" * 50, b"\0\0}\n", GOOD[:50].encode()]
)
def test_what_a_power_cut_leaves_of_the_last_line_is_cut_off(tail, tmp_path):
    (tmp_path / RESULTS).write_bytes(f"{GOOD}\n".encode() + tail)
    with Results(tmp_path) as found:
        assert len(found.results) == 1
    assert (tmp_path / RESULTS).read_bytes() == f"{GOOD}\n".encode()


def test_of_two_lines_for_the_same_settings_the_last_one_counts(tmp_path):
    (tmp_path / RESULTS).write_text(f"{GOOD}\n{changed(loss=0.25)}\r\n")
    with Results(tmp_path) as found:
        assert [each.loss for each in found.results.values()] == [0.25]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_results_that_are_no_regular_file_are_refused(tmp_path):
    os.mkfifo(tmp_path / RESULTS)
    for _ in range(2):
        with pytest.raises(OSError, match=f"no regular file.*{RESULTS}"):
            Results(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [RESULTS]


def test_ranks():
    def ranked(**numbers):
        return Result(Settings(), **{"outcome": "finished", **numbers}).rank

    better = [
        ranked(outcome="loss not finite", val_accuracy=0.99, val_loss=0.1),
        ranked(val_accuracy=0.5, val_loss=0.1),
        ranked(val_accuracy=0.6, val_loss=0.3),
        ranked(val_accuracy=0.6, val_loss=0.2),
    ]
    assert better == sorted(better)
    assert ranked(val_loss=0.1) > ranked(val_loss=0.2) > ranked()


def test_without_a_file_of_results_a_sweep_begins_anew(tmp_path):
    model = fastnn.Sequential(fastnn.Linear(2, 1, seed=0))
    old = Result(Settings(seed=1), "finished", val_accuracy=0.9)
    new = Result(Settings(seed=2), "finished", val_accuracy=0.1)
    (tmp_path / BEST).write_bytes(old.to_bytes(model))
    with Results(tmp_path) as found:
        assert not found.results
        assert found.lost is None
        found.keep(new, new.to_bytes(model))
    with Results(tmp_path) as found:
        assert [*found.results.values()] == [new]
        assert found.lost is None
