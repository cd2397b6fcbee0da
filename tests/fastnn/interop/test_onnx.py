import errno
import json
import os
import stat

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import (
    Dropout,
    Flatten,
    Identity,
    Linear,
    Normalize,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from fastnn.data.tables.schema import Schema
from fastnn.interop.onnx import IR_VERSION, OPSET
from own_layers import Doubled, OtherLinear, OtherSequential

DTYPES = ("float32", "float64")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def session(path):
    return onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])


def run(path, x):
    """The one output of a file for the one input."""
    (y,) = session(path).run(None, {"x": x})
    return y


def same(model, path, x):
    """onnxruntime and fastnn agree to 1e-5 of the largest number, in shape and in dtype.

    A small output that is a sum of large terms carries the rounding errors of those.
    """
    expected = fastnn.predict(model, x)
    got = run(path, x)
    assert got.dtype == expected.dtype
    scale = max(1.0, np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * scale)


def samples(columns, dtype, rows=9):
    rng = np.random.default_rng(0)
    if dtype == "uint8":
        return rng.integers(0, 256, (rows, columns), np.uint8)
    return rng.normal(size=(rows, columns)).astype(dtype)


def small_model(dtype="float32"):
    return Sequential(
        Normalize(33.3, 78.6, dtype), Linear(6, 5, dtype=dtype, seed=0), Tanh(), Dropout(0.5),
        Linear(5, 3, dtype=dtype, seed=1),
    )  # fmt: skip


# ------------------------------------------------------------------------- what it computes

LEAVES = {
    kind.__name__: kind
    for kind in (
        ReLU, Tanh, Sigmoid, Softmax, Flatten, Identity, Dropout, fastnn.LogSoftmax,
        fastnn.LeakyReLU, fastnn.ELU, fastnn.GELU, fastnn.SiLU, fastnn.Softplus, fastnn.Mish,
        fastnn.Hardswish, fastnn.Hardtanh, fastnn.SmoothClip,
    )
} | {
    "steep LeakyReLU": lambda: fastnn.LeakyReLU(-1.5),
    "ELU of an alpha": lambda: fastnn.ELU(0.3),
    "GELU by tanh": lambda: fastnn.GELU("tanh"),
    "Softplus of beta": lambda: fastnn.Softplus(2.5, 1.5),
    "Softplus of below 0": lambda: fastnn.Softplus(-1.0),
}  # fmt: skip
NORMS = {
    "LayerNorm": fastnn.LayerNorm,
    "LayerNorm without bias": lambda n, **how: fastnn.LayerNorm(n, 1e-3, bias=False, **how),
    "LayerNorm of nothing": lambda n, **how: fastnn.LayerNorm(n, elementwise_affine=False, **how),
    "BatchNorm1d": fastnn.BatchNorm1d,
    "BatchNorm1d without weights": lambda n, **how: fastnn.BatchNorm1d(n, affine=False, **how),
    "BatchNorm1d of the batch": lambda n, **how: fastnn.BatchNorm1d(
        n, 1e-3, track_running_stats=False, **how
    ),
}


def norm(kind, columns, dtype):
    """A layer whose weights and statistics are not those it is made with."""
    layer = NORMS[kind](columns, dtype=dtype)
    rng = np.random.default_rng(0)
    for parameter in layer.parameters():
        parameter.assign(rng.normal(size=columns))
    layer(rng.normal(2, 3, (50, columns)).astype(dtype))
    return layer


@st.composite
def chains(draw, dtype, columns, depth=0):
    """A chain that takes so many columns, and the columns it gives."""
    layers = []
    for _ in range(draw(st.integers(0, 4))):
        kinds = ["linear", "leaf", "normalize", "chain"]
        if dtype == "float64":  # they multiply the rounding errors of rows that are all but alike
            kinds.append("norm")
        kind = draw(st.sampled_from(kinds))
        if kind == "linear":
            width = draw(st.integers(1, 40))
            layers.append(Linear(columns, width, draw(st.booleans()), dtype, seed=width))
            columns = width
        elif kind == "norm":
            layers.append(norm(draw(st.sampled_from(sorted(NORMS))), columns, dtype))
        elif kind == "normalize":
            mean = draw(st.sampled_from([0.5, [0.5] * columns]))
            std = draw(st.sampled_from([1 / 3, [1 / 3] * columns]))
            layers.append(Normalize(mean, std, dtype))
        elif kind == "chain" and depth < 2:
            inner, columns = draw(chains(dtype, columns, depth + 1))
            layers.append(inner)
        else:
            layers.append(LEAVES[draw(st.sampled_from(sorted(LEAVES)))]())
    return Sequential(*layers), columns


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.data(), st.sampled_from(DTYPES), st.integers(1, 40),
    st.sampled_from([None, "uint8", "float32", "float64"]),
)  # fmt: skip
def test_chains_compute_the_same_in_onnxruntime(path, data, dtype, columns, input_dtype):
    inner, width = data.draw(chains(dtype, columns))
    model = Sequential(inner, Linear(width, 3, dtype=dtype, seed=0))
    fastnn.to_onnx(model, path, input_dtype=input_dtype)
    same(model, path, samples(columns, input_dtype or dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", LEAVES)
def test_every_kind_of_layer(kind, dtype, path):
    linear = Linear(7, 7, dtype=dtype, seed=0)
    model = Sequential(LEAVES[kind](), linear, LEAVES[kind]())
    fastnn.to_onnx(model, path)
    same(model, path, samples(7, dtype) * 9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("rows", [1, 9])
def test_every_kind_of_norm(kind, dtype, rows, path):
    model = Sequential(norm(kind, 7, dtype), Linear(7, 5, dtype=dtype), norm(kind, 5, dtype))
    fastnn.to_onnx(model, path)
    same(model, path, samples(7, dtype, rows) * 3)


def test_norms_tell_how_many_columns_there_are(path):
    for kind in NORMS:
        fastnn.to_onnx(Sequential(Tanh(), norm(kind, 4, "float32")), path)
        assert session(path).get_inputs()[0].shape == ["batch", 4]
        assert session(path).get_outputs()[0].shape == ["batch", 4]


@pytest.mark.parametrize("kind", sorted(LEAVES))
def test_far_out_numbers(kind, path):
    model = Sequential(Linear(1, 2), LEAVES[kind]())
    model[0].weight, model[0].bias = [[1.0], [-1.0]], [0, 0.0]
    fastnn.to_onnx(model, path)
    for x in (0, -0.0, 1e-30, 1e-3, 90, 1e4, -1e30):  # each to its own scale
        same(model, path, np.array([[x]], np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes_are_part_of_the_model(dtype, path):
    model = small_model(dtype)
    fastnn.to_onnx(model, path, input_dtype="uint8")
    x = np.arange(18, dtype=np.uint8).reshape(3, 6) * 14
    same(model, path, x)
    fastnn.to_onnx(model, path)
    same(model, path, x.astype(dtype))


@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_batches_of_any_size(rows, path):
    fastnn.to_onnx(small_model(), path)
    same(small_model(), path, samples(6, "float32", rows))


def test_no_rows(path):
    fastnn.to_onnx(small_model(), path)
    assert run(path, np.zeros((0, 6), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("layers", [(), (Tanh(), Softmax()), (Normalize(2.0, [3.0]),)])
def test_chains_of_any_number_of_columns(layers, path):
    model = Sequential(*layers)
    fastnn.to_onnx(model, path)
    for columns in (1, 5):
        same(model, path, samples(columns, "float32"))


def test_the_model_is_left_as_it_was(path, bits):
    model = small_model()
    model.train()
    before = bits(model)
    fastnn.to_onnx(model, path)
    assert bits(model) == before
    assert model.training
    assert model[3].training


def test_a_trained_model_of_digits(path):
    data = fastnn.datasets.load("digits")
    model = Sequential(Normalize(data.mean, data.std), Linear(64, 32), ReLU(), Linear(32, 10))
    optimizer = fastnn.Adam(model.parameters(), lr=0.01)
    fastnn.fit(model, data.x_train, data.y_train, loss=fastnn.CrossEntropyLoss(),
               optimizer=optimizer, epochs=5, batch_size=32)  # fmt: skip
    x = data.x_test
    fastnn.to_onnx(model, path, input_dtype=x.dtype.name)
    same(model, path, x)


# ----------------------------------------------------------------------------- the file


def test_what_the_file_says(path):
    model = small_model()
    model.classes = ("no", "yes", "perhaps, ü")
    fastnn.to_onnx(model, path)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", OPSET)]
    assert proto.ir_version == IR_VERSION
    assert proto.producer_name == "fastnn"
    ran = session(path)
    (x,), (y,) = ran.get_inputs(), ran.get_outputs()
    assert (x.name, x.type, x.shape) == ("x", "tensor(float)", ["batch", 6])
    assert (y.name, y.type, y.shape) == ("y", "tensor(float)", ["batch", 3])
    assert ran.get_modelmeta().custom_metadata_map == {
        "classes": '["no", "yes", "perhaps, \\u00fc"]'
    }


def test_the_schema_is_told(path):
    model = small_model()
    fastnn.to_onnx(model, path)
    assert session(path).get_modelmeta().custom_metadata_map == {}
    model.schema = Schema.of_numbers(6)
    fastnn.to_onnx(model, path)
    told = json.loads(session(path).get_modelmeta().custom_metadata_map["schema"])
    assert Schema.from_dict(told) == model.schema


def test_weights_are_there_by_torch_s_names(path):
    model = Sequential(Linear(3, 4), Sequential(Tanh(), Linear(4, 2, bias=False)))
    fastnn.to_onnx(model, path)
    found = {
        each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer
    }
    assert found.keys() == model.state_dict().keys()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_one_model_gives_one_file(tmp_path):
    for name in "ab":
        fastnn.to_onnx(small_model(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_has_the_usual_mode(path):
    fastnn.to_onnx(small_model(), path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            Sequential(Doubled(), Sequential(Tanh(), OtherLinear(2, 2)), OtherSequential()),
            TypeError,
            r"no operators for 0 \(Doubled\), 1\.1 \(OtherLinear\), 2 \(OtherSequential\); there "
            r"are some for Linear, ReLU",
        ),
        (OtherSequential(), TypeError, "got a OtherSequential; expected a fastnn.Sequential"),
        (Linear(2, 2), TypeError, "got a Linear; expected a fastnn.Sequential"),
        (None, TypeError, "got a NoneType; expected"),
        (Sequential(Linear(2, 3), Linear(4, 2)), ValueError, r"x has shape \(1, 3\); expected .*4"),
        (Sequential(Normalize([1, 2, 3.0]), Linear(2, 2)), ValueError, r"\(1, 3\); expected .*2"),
        (Sequential(Linear(2, 2), Normalize([1, 2, 3.0])), ValueError, "x has 2 columns"),
        (
            Sequential(Linear(2, 2), Linear(2, 2, dtype=np.float64)),
            ValueError,
            "mixes float32 and float64",
        ),
    ],
)
def test_models_that_cannot_be_written(model, error, message, path):
    path.write_text("before")
    with pytest.raises(error, match=message):
        fastnn.to_onnx(model, path)
    assert path.read_text() == "before"
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("wrong", ["int8", np.float16, "bytes", 3, [], np.zeros(2)])
def test_dtypes_of_the_input_that_there_are_not(wrong, path):
    with pytest.raises(ValueError, match=r"input_dtype is .*; expected uint8, float32, float64"):
        fastnn.to_onnx(small_model(), path, input_dtype=wrong)
    assert not path.exists()


@pytest.mark.parametrize("kind", [np.uint8, np.dtype("uint8"), "u1"])
def test_dtypes_of_the_input_as_numpy_takes_them(kind, path):
    fastnn.to_onnx(small_model(), path, input_dtype=kind)
    same(small_model(), path, samples(6, "uint8"))


def test_weights_that_no_file_holds(path):
    model = Sequential(Linear(2, 2))
    model[0]._weight.__class__ = type("Huge", (type(model[0]._weight),), {"size": 2**29})
    with pytest.raises(ValueError, match=r"weights take 2,147,483,656 bytes; an ONNX file holds"):
        fastnn.to_onnx(model, path)


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fastnn.to_onnx(small_model(), tmp_path / "nowhere" / "model.onnx")


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_failure_leaves_the_file_that_was_there(step, path, monkeypatch):
    fastnn.to_onnx(Sequential(Linear(2, 2)), path)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        fastnn.to_onnx(small_model(), path)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1
