import sys

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy

import fastnn
from command_line import error_of, run
from fastnn import Linear, Normalize, ReLU, Sequential


@pytest.fixture
def model():
    made = Sequential(Normalize(33.3, 78.6), Linear(6, 5, seed=0), ReLU(), Linear(5, 3, seed=1))
    made.classes = ("a", "b", "c")
    return made


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.safetensors"
    fastnn.save(model, path)
    return path


@pytest.mark.parametrize("options", [[], ["--input-dtype", "uint8"]])
def test_a_model_is_exported(saved, model, tmp_path, options):
    out = tmp_path / "out.onnx"
    result = run("export", saved, out, *options)
    assert result.exit_code == 0, result.output
    assert not result.stderr
    assert result.stdout == f"wrote {out}: {out.stat().st_size:,} bytes\n"
    x = np.arange(24, dtype=options[-1] if options else "float32").reshape(4, 6)
    (y,) = onnxruntime.InferenceSession(out).run(None, {"x": x})
    np.testing.assert_allclose(y, fastnn.predict(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "meaning"),
    [
        ([], "probabilities, the softmax"),
        (["--no-probabilities"], "the outputs of the network"),
        (["--probabilities", "--name", "net", "--input-dtype", "uint8"], "probabilities"),
    ],
)
def test_a_model_is_exported_to_c(saved, tmp_path, options, meaning):
    out = tmp_path / "Out-1.h"
    result = run("export", saved, out, *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"wrote {out}: {out.stat().st_size:,} bytes\n"
    text, name = out.read_text(), "net" if "net" in options else "Out_1"
    given = "uint8_t" if "uint8" in options else "float"
    assert f"\nstatic void {name}_predict(const {given} *x, float *y)\n" in text
    assert f"the row y, 3 numbers: {meaning}" in text


def test_options_of_c_headers_alone(saved, tmp_path):
    for option in (["--name", "net"], ["--no-probabilities"]):
        error = error_of(run("export", saved, tmp_path / "out.onnx", *option))
        assert "out.onnx is no C header" in error
    error = error_of(run("export", saved, tmp_path / "out.h", "--name", "2d"))
    assert "name is '2d'; expected" in error
    assert list(tmp_path.iterdir()) == [saved]


def test_a_file_that_is_no_model(tmp_path):
    path, out = tmp_path / "model.safetensors", tmp_path / "out.onnx"
    path.write_bytes(b"nothing of the kind")
    assert "'MODEL': " in error_of(run("export", path, out))
    assert "no such file" in error_of(run("export", tmp_path / "not", out)).lower()
    assert not out.exists()


def test_a_model_whose_layers_do_not_fit(tmp_path):
    path, out = tmp_path / "model.safetensors", tmp_path / "out.onnx"
    fastnn.save(Sequential(Linear(2, 3), Linear(4, 2)), path)
    assert "'MODEL': Linear: x has shape (1, 3)" in error_of(run("export", path, out))
    assert not out.exists()


def test_names_that_are_not_allowed(saved, tmp_path):
    error = error_of(run("export", saved, tmp_path / "out.onxx"))
    assert error.endswith("out.onxx; expected a name in .onnx or .h")
    error = error_of(run("export", saved, tmp_path / "out.onnx", "--input-dtype", "unit8"))
    assert "'--input-dtype': unknown name 'unit8'" in error
    assert "did you mean 'uint8'?" in error
    assert list(tmp_path.iterdir()) == [saved]


def test_places_that_cannot_be_written(saved, tmp_path):
    out = tmp_path / "nowhere" / "out.onnx"
    assert str(out) in error_of(run("export", saved, out), code=1)
    (tmp_path / "folder.onnx").mkdir()
    assert "folder.onnx" in error_of(run("export", saved, tmp_path / "folder.onnx"), code=1)


def test_without_onnx(saved, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "fastnn.interop.onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    error = error_of(run("export", saved, tmp_path / "out.onnx"), code=1)
    assert error == (
        "fastnn: fastnn.to_onnx needs onnx, which is not installed: pip install 'fastnn[onnx]'"
    )


@pytest.mark.filterwarnings("error")
def test_linear_layers_that_torch_wrote(tmp_path):
    """They make a model, and what is not known of it is said in a line."""
    path, out = tmp_path / "net.safetensors", tmp_path / "out.onnx"
    safetensors.numpy.save_file({"0.weight": np.ones((2, 3), np.float32)}, path)
    result = run("export", path, out)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"fastnn: {path} holds no architecture: made a chain of its linear " \
        "layers alone\n"  # fmt: skip
    (y,) = onnxruntime.InferenceSession(out).run(None, {"x": np.ones((1, 3), np.float32)})
    np.testing.assert_array_equal(y, [[3, 3]])
