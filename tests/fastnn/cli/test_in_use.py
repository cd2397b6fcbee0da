"""The second of two commands in one place is told so, and changes nothing there."""

import pytest

from command_line import error_of, run
from fastnn.files.atomic import locked


def in_use(result, name, code=1):
    assert error_of(result, code) == (
        f"fastnn: {name}: another run writes there now; wait for its end, or name another place"
    )


def content(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_a_sweep(tmp_path):
    arguments = ["sweep", "disk", "--subset", 100, "--epochs", 1, "--jobs", 1, "--out", tmp_path]
    assert run(*arguments).exit_code == 0
    with locked(tmp_path, "results.jsonl"):
        before = content(tmp_path)
        for more in ([], ["--resume"]):
            in_use(run(*arguments, *more), tmp_path)
        assert content(tmp_path) == before
    assert run(*arguments, "--resume").exit_code == 0


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_checkpoint(resume, tmp_path):
    path = tmp_path / "run.ckpt"
    arguments = ["train", "disk", "--subset", 100, "--epochs", 1, "--checkpoint", path]
    arguments += ["--out", tmp_path / "run", *resume]
    with locked(path):
        in_use(run(*arguments), path)
    assert not path.exists()
    assert run(*arguments).exit_code == 0
    assert {each.name for each in tmp_path.iterdir()} == {"run", "run.ckpt"}


def test_a_reproduction(tmp_path):
    arguments = ["reproduce", "disk", "--quick", "--no-torch", "--out", tmp_path]
    with locked(tmp_path, "results.json"):
        in_use(run(*arguments), tmp_path)
    assert not list(tmp_path.iterdir())
