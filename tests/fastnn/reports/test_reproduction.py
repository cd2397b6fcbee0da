import json

import pytest

from fastnn import reports as experiments
from fastnn.reports import figures, reproduction, single_layer
from fastnn.reports.reproduction import Options, Reproduction

QUICK = Options(torch=False, quick=True)


class RanError(Exception):
    """An experiment was about to run."""


@pytest.fixture
def few(monkeypatch):
    """Two experiments: one that runs, and single-layer, which tests break."""
    names = {"single-layer": "single_layer", "disk": "disk"}
    monkeypatch.setattr(experiments, "EXPERIMENTS", names)


def test_names_are_those_of_files():
    for name in experiments.EXPERIMENTS:
        module = experiments.load(name)
        assert callable(module.run)
        about = reproduction._about(module)
        assert list(about["about"]) == ["Network", "Data", "Settings", "Source"]
        assert about["title"]
        assert "def run(study" in about["code"]


def test_an_experiment_makes_pictures_results_and_a_page(tmp_path):
    results = Reproduction(tmp_path, QUICK).run("disk")
    written = json.loads((tmp_path / "disk" / "results.json").read_text())
    assert written == json.loads(json.dumps(results))
    assert [run["settings"]["epochs"] for run in written["runs"]] == [50, 50]
    assert {file.name for file in (tmp_path / "disk").iterdir()} == {
        "results.json", *(picture["file"] for picture in written["pictures"])
    }  # fmt: skip
    together = json.loads((tmp_path / "results.json").read_text())
    assert [each["name"] for each in together["experiments"]] == ["disk"]
    assert "fastnn reproduce disk" in (tmp_path / "report.html").read_text()
    assert {"fastnn", "numpy", "python"} <= written["versions"].keys()
    assert written["machine"]["cores"] >= 1


def test_what_is_finished_is_kept_and_said(tmp_path, monkeypatch):
    said = []
    first = Reproduction(tmp_path, QUICK).run("disk")
    monkeypatch.setattr(experiments, "load", lambda name: pytest.fail("it ran again"))
    again = Reproduction(tmp_path, QUICK, say=said.append).run("disk")
    assert again == json.loads(json.dumps(first))
    assert said == ["disk: finished before, kept"]


@pytest.mark.parametrize("change", ["options", "picture", "code", "damage", "again"])
def test_it_runs_again_where_anything_is_different(tmp_path, monkeypatch, change):
    first = Reproduction(tmp_path, QUICK).run("disk")
    work = Reproduction(tmp_path, QUICK)
    if change == "options":
        work = Reproduction(tmp_path, Options(torch=True, quick=True))
    elif change == "picture":
        (tmp_path / "disk" / first["pictures"][0]["file"]).unlink()
    elif change == "code":
        work.digest = "of other code"
    elif change == "damage":
        (tmp_path / "disk" / "results.json").write_text("{")

    def load(name):
        raise RanError(name)

    monkeypatch.setattr(experiments, "load", load)
    with pytest.raises(RanError, match="disk"):
        work.run("disk", again=change == "again")


def test_the_digest_is_of_options_and_code(tmp_path, monkeypatch):
    digests = {Reproduction(tmp_path, Options(torch, quick)).digest
               for torch in (False, True) for quick in (False, True)}  # fmt: skip
    assert len(digests) == 4
    assert Reproduction(tmp_path, Options()).digest in digests


def test_an_interrupted_run_goes_on_past_what_is_finished(tmp_path, few, monkeypatch):
    work = Reproduction(tmp_path, QUICK)
    work.run("disk")
    before = (tmp_path / "disk" / "results.json").stat().st_mtime_ns

    def interrupt(study):
        study.picture("half", figures.panel()[0], "Half", "")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(single_layer, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            work.run("single-layer")
    assert not (tmp_path / "single-layer" / "results.json").exists()
    assert work.finished("single-layer") is None
    on = Reproduction(tmp_path, QUICK)
    results = [on.run(name) for name in ("disk", "single-layer")]
    assert [each["name"] for each in results] == ["disk", "single-layer"]
    assert (tmp_path / "disk" / "results.json").stat().st_mtime_ns == before
    page = (tmp_path / "report.html").read_text()
    assert 'id="disk"' in page
    assert 'id="single-layer"' in page


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "mine.txt").write_text("mine")
    Reproduction(tmp_path, QUICK).run("disk")
    assert (tmp_path / "disk" / "mine.txt").read_text() == "mine"


def test_missing_data_are_told_and_the_rest_still_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "nowhere"))
    work = Reproduction(tmp_path / "out", QUICK)
    assert work.run("mnist-linear") is None
    assert work.run("disk") is not None
    assert (
        "Set FASTNN_DATA to a folder that holds the files of mnist" in work.missing["mnist-linear"]
    )
    together = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(together["missing"]) == ["mnist-linear"]
    assert "Could not run" in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / "mnist-linear").exists()
