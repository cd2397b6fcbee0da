import json
import os
import re
import stat
import sys
import tracemalloc

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import (
    BatchNorm1d,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LayerNorm,
    Linear,
    Normalize,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from fastnn.files import container
from fastnn.files.container import FORMAT_VERSION, ModelFileError
from own_layers import Doubled, OtherLinear, OtherSequential
from processes import python

DTYPES = ("float32", "float64")


def small_model(dtype="float32", classes=("no", "yes")):
    model = Sequential(
        Normalize([1.0, 0.1, -2.5], [1 / 3, 2.0, 1e-3], dtype),
        Linear(3, 5, dtype=dtype, seed=1),
        Tanh(),
        Dropout(0.25),
        Linear(5, 2, dtype=dtype, seed=2),
    )
    model.classes = classes
    return model


def batch(columns, dtype, rows=7):
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(dtype)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    fastnn.save(small_model(), path)
    return path


# round trips

WIDTHS = st.integers(1, 20)
PLAIN = st.sampled_from((ReLU, Tanh, Sigmoid, Softmax, Flatten, Identity)).map(lambda kind: kind())
DROPOUT = st.floats(0, 1).map(Dropout)
FINITE = st.floats(-1e30, 1e30)
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def chains(draw, dtype, columns, depth=0):
    """A chain that takes so many columns, and the columns it gives."""
    layers = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(("linear", "plain", "dropout", "normalize", "chain")))
        if kind == "linear":
            width, bias = draw(WIDTHS), draw(st.booleans())
            layers.append(Linear(columns, width, bias, dtype, seed=draw(st.integers(0, 99))))
            columns = width
        elif kind == "normalize":
            mean = draw(FINITE | st.lists(FINITE, min_size=columns, max_size=columns))
            std = draw(POSITIVE | st.lists(POSITIVE, min_size=columns, max_size=columns))
            layers.append(Normalize(mean, std, dtype))
        elif kind == "chain" and depth < 2:
            inner, columns = draw(chains(dtype, columns, depth + 1))
            layers.append(inner)
        else:
            layers.append(draw(DROPOUT if kind == "dropout" else PLAIN))
    chain = Sequential(*layers)
    chain.classes = tuple(draw(st.lists(st.text(), max_size=3)))
    return chain, columns


@given(st.data())
@settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_a_loaded_model_gives_the_same_bits(path, data):
    dtype, columns = data.draw(st.sampled_from(DTYPES)), data.draw(WIDTHS)
    model, _ = data.draw(chains(dtype, columns))
    fastnn.save(model, path)
    loaded = fastnn.load(path)
    x = batch(columns, dtype)
    model.eval()
    np.testing.assert_array_equal(loaded(x), model(x), strict=True)
    assert repr(loaded) == repr(model)
    assert loaded.classes == model.classes
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], array, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes_are_normalised_to_the_same_bits(path, dtype):
    model = Sequential(Normalize(33.3, 78.6, dtype), Linear(4, 3, dtype=dtype))
    fastnn.save(model, path)
    x = np.arange(20, dtype=np.uint8).reshape(5, 4)
    np.testing.assert_array_equal(fastnn.load(path)(x), model(x), strict=True)
    np.testing.assert_array_equal(
        fastnn.predict(fastnn.load(path), x), fastnn.predict(model, x), strict=True
    )


def test_a_loaded_model_is_ready_for_use_and_for_training(saved):
    model = fastnn.load(saved)
    x, y = batch(3, "float32"), np.zeros(7, np.int64)
    np.testing.assert_array_equal(model(x), model(x))
    optimizer = fastnn.SGD(model.parameters(), lr=0.1)
    history = fastnn.fit(
        model, x, y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, epochs=99, batch_size=7
    )
    assert history.loss[-1] < history.loss[0]


def test_extreme_parameters_survive(path):
    model = Sequential(Linear(4, 2, dtype="float64"))
    values = [[np.nan, np.inf, -np.inf, -0.0], [5e-324, 1.7e308, 0.1, 1 / 3]]
    model[0].weight = values
    fastnn.save(model, path)
    loaded = fastnn.load(path)[0].weight.data
    assert np.asarray(loaded).tobytes() == np.asarray(values).tobytes()


def test_layers_of_two_dtypes_survive(path):
    model = Sequential(Linear(2, 3), Sequential(Linear(3, 4, dtype="float64")))
    fastnn.save(model, path)
    loaded = fastnn.load(path)
    assert {name: array.dtype.name for name, array in loaded.state_dict().items()} == {
        "0.weight": "float32", "0.bias": "float32", "1.0.weight": "float64", "1.0.bias": "float64",
    }  # fmt: skip


def test_one_model_gives_one_file(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        fastnn.save(small_model(), file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_model_of_no_layers(path):
    fastnn.save(Sequential(), path)
    assert len(fastnn.load(path)) == 0


# the file, as others see it


def test_torch_reads_the_tensors(path):
    torch = pytest.importorskip("torch")
    ours = small_model()
    fastnn.save(ours, path)
    theirs = torch.nn.Sequential(
        torch.nn.Identity(), torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Dropout(0.25),
        torch.nn.Linear(5, 2),
    ).eval()  # fmt: skip
    theirs.load_state_dict(safetensors.torch.load_file(path))
    x = batch(3, "float32")
    normalized = ours[0](x)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(normalized)).numpy()
    np.testing.assert_allclose(ours.eval()(x), expected, rtol=1.3e-6, atol=1e-5)


def test_a_file_that_torch_changed_is_read(path):
    """The tensors are what `safetensors` gives back; the checksum may be left out."""
    torch = pytest.importorskip("torch")
    fastnn.save(small_model(), path)
    with safetensors.safe_open(path, "pt") as file:
        description = json.loads(file.metadata()["fastnn"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del description["checksum"]
    tensors["1.bias"] = torch.arange(5.0)
    safetensors.torch.save_file(tensors, path, {"fastnn": json.dumps(description)})
    assert fastnn.load(path)[1].bias.data.tolist() == [0, 1, 2, 3, 4]


def test_names_shapes_and_metadata(saved):
    with safetensors.safe_open(saved, "np") as file:
        shapes = {name: file.get_tensor(name).shape for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    assert shapes == {"1.weight": (5, 3), "1.bias": (5,), "4.weight": (2, 5), "4.bias": (2,)}
    assert list(metadata) == ["fastnn"]
    description = json.loads(metadata["fastnn"])
    assert description["format_version"] == FORMAT_VERSION
    model = description["model"]
    assert model["classes"] == ["no", "yes"]
    assert [each["class"] for each in model["layers"]] == [
        "Normalize", "Linear", "Tanh", "Dropout", "Linear",
    ]  # fmt: skip
    assert model["layers"][0] == {
        "class": "Normalize",
        "arguments": {"mean": [1.0, 0.1, -2.5], "std": [1 / 3, 2.0, 1e-3]},
        "dtype": "float32",
    }
    assert model["layers"][1] == {
        "class": "Linear",
        "arguments": {"in_features": 3, "out_features": 5, "bias": True},
        "dtype": "float32",
    }


# what cannot be saved


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Sequential(Linear(2, 2), Doubled()), r"model\[1\] is a Doubled, .* known: .*Linear"),
        (Sequential(Sequential(OtherLinear(2, 2))), r"model\[0\]\[0\] is a OtherLinear"),
        (Sequential(OtherSequential()), r"model\[0\] is a OtherSequential"),
        (Sequential(Layer()), r"model\[0\] is a Layer"),
        (OtherSequential(Linear(2, 2)), "OtherSequential; expected a fastnn.Sequential"),
        (Linear(2, 2), "Linear; expected a fastnn.Sequential"),
    ],
)
def test_a_layer_of_your_own_is_refused_before_anything_is_written(model, message, path):
    with pytest.raises(TypeError, match=message):
        fastnn.save(model, path)
    assert not list(path.parent.iterdir())


def test_classes_that_are_no_names_are_refused(path):
    with pytest.raises(TypeError, match=r"classes are .*; expected names"):
        fastnn.save(small_model(classes=(0, 1)), path)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_arguments_that_are_not_finite_are_refused(value, path):
    model = small_model()
    vars(model[3])["p"] = value  # assigning would refuse it
    with pytest.raises(ValueError, match=r"model\[3\], Dropout\(p=.*not finite"):
        fastnn.save(model, path)
    assert not list(path.parent.iterdir())


# what cannot be loaded


def refused(path):
    """The message with which a file is refused."""
    with pytest.raises(ModelFileError) as caught:
        fastnn.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: found")
    assert "\n" not in message
    return message


def test_no_file(path):
    with pytest.raises(FileNotFoundError, match=str(path)):
        fastnn.load(path)


def test_a_folder(tmp_path):
    with pytest.raises(OSError, match=str(tmp_path)):
        fastnn.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 a zip file, say" * 9, b"\0" * 100, b"{}"])
def test_other_files(content, path):
    path.write_bytes(content)
    assert "no whole safetensors file" in refused(path)


def test_a_file_cut_short_at_any_length(saved):
    content = saved.read_bytes()
    for length in range(len(content)):
        saved.write_bytes(content[:length])
        assert f"{length:,} bytes" in refused(saved)
    saved.write_bytes(content + b"\0")
    refused(saved)


def test_a_flipped_bit_anywhere_is_seen_or_harmless(saved):
    """Harmless is only one in the word `checksum`, after which it is not found."""
    content = saved.read_bytes()
    harmless = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        saved.write_bytes(damaged)
        try:
            loaded = fastnn.load(saved)
        except ModelFileError:
            continue
        harmless += 1
        assert repr(loaded) == repr(small_model())
        for name, array in small_model().state_dict().items():
            np.testing.assert_array_equal(loaded.state_dict()[name], array, strict=True)
    assert harmless < 10


def rewrite(path, change=None, tensors=None, metadata=None):
    """Write a file again with a changed description, without its checksum."""
    with safetensors.safe_open(path, "np") as file:
        description = json.loads(file.metadata()["fastnn"])
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del description["checksum"]
    if change is not None:
        description = change(description) or description
    if metadata is None:
        metadata = {"fastnn": json.dumps(description)}
    safetensors.numpy.save_file({**found, **(tensors or {})}, path, metadata)


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}])
def test_a_safetensors_file_of_someone_else(metadata, saved):
    rewrite(saved, metadata=metadata)
    message = refused(saved)
    assert "expected 'fastnn'" in message
    assert all(key in message for key in metadata)


def test_a_newer_format(saved):
    rewrite(saved, lambda d: d.update(format_version=FORMAT_VERSION + 1))
    assert f"found format version {FORMAT_VERSION + 1}; expected at most" in refused(saved)


def in_layer(place, **changes):
    return lambda d: d["model"]["layers"][place].update(changes)


NOT_AN_ARCHITECTURE = {
    "not json": lambda d: "{",
    "a list": lambda d: [1],
    "a number": lambda d: 1,
    "no version": lambda d: {"model": d["model"]},
    "version 0": lambda d: {**d, "format_version": 0},
    "version true": lambda d: {**d, "format_version": True},
    "no model": lambda d: {"format_version": 1},
    "model is a number": lambda d: {**d, "model": 3},
    "model is no chain": lambda d: {**d, "model": d["model"]["layers"][1]},
    "layers is a number": lambda d: d["model"].update(layers=3),
    "layer is null": lambda d: d["model"].update(layers=[None]),
    "layer has no class": lambda d: d["model"].update(layers=[{}]),
    "class is a list": in_layer(1, **{"class": []}),
    "class is a function": in_layer(1, **{"class": "fresh_seed"}),
    "class is abstract": in_layer(1, **{"class": "Layer"}),
    "no arguments": lambda d: d["model"]["layers"][1].pop("arguments") and None,
    "arguments is text": in_layer(1, arguments="abc"),
    "another argument": in_layer(2, arguments={"slope": 1}),
    "no features": in_layer(1, arguments={"in_features": 0, "out_features": 5}),
    "features as text": in_layer(1, arguments={"in_features": "3", "out_features": 5}),
    "larger than memory": in_layer(1, arguments={"in_features": 10**15, "out_features": 5}),
    "larger than addresses": in_layer(1, arguments={"in_features": 10**30, "out_features": 5}),
    "not a dtype": in_layer(1, dtype="float33"),
    "another dtype": in_layer(1, dtype="int32"),
    "another dtype to normalize to": in_layer(0, dtype="int32"),
    "p is text": in_layer(3, arguments={"p": "0.5"}),
    "p is 2": in_layer(3, arguments={"p": 2}),
    "std is 0": in_layer(0, arguments={"mean": 0, "std": 0}),
    "std is ragged": in_layer(0, arguments={"mean": 0, "std": [[1], [2, 3]]}),
    "classes is text": lambda d: d["model"].update(classes="ab"),
    "classes are numbers": lambda d: d["model"].update(classes=[1, 2]),
}  # fmt: skip


@pytest.mark.parametrize("change", NOT_AN_ARCHITECTURE.values(), ids=NOT_AN_ARCHITECTURE)
def test_a_description_of_no_chain(change, saved):
    rewrite(saved, change)
    refused(saved)


def test_a_description_nested_without_end(saved):
    nested = '{"class": "Sequential", "layers": [' * 100_000
    rewrite(saved, metadata={"fastnn": f'{{"format_version": 1, "model": {nested}'})
    refused(saved)
    deep = '{"class": "Sequential", "layers": [' * 900 + "]}" * 900
    metadata = {"fastnn": f'{{"format_version": 1, "model": {deep}}}'}
    safetensors.numpy.save_file({}, saved, metadata)
    refused(saved)


def test_an_unknown_layer(saved):
    rewrite(saved, in_layer(1, **{"class": "Conv2d"}))
    message = refused(saved)
    assert "found a 'Conv2d' as model[1]; expected one of" in message
    assert "Linear" in message


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("argument", ["mean", "std", "p"])
def test_arguments_that_are_not_finite(constant, argument, saved):
    def change(description):
        normalize, dropout = (description["model"]["layers"][i]["arguments"] for i in (0, 3))
        (dropout if argument == "p" else normalize)[argument] = "HERE"
        return json.dumps(description).replace('"HERE"', constant)

    with safetensors.safe_open(saved, "np") as file:
        description = json.loads(file.metadata()["fastnn"])
    del description["checksum"]
    rewrite(saved, metadata={"fastnn": change(description)})
    refused(saved)


def test_tensors_missing_and_extra(saved):
    with safetensors.safe_open(saved, "np") as file:
        metadata = json.loads(file.metadata()["fastnn"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del metadata["checksum"]
    tensors["9.weight"] = tensors.pop("1.bias")
    safetensors.numpy.save_file(tensors, saved, {"fastnn": json.dumps(metadata)})
    assert "missing ['1.bias'], not expected ['9.weight']" in refused(saved)


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (np.zeros((3, 5), np.float32), "of shape (3, 5) and float32"),
        (np.zeros((5, 3), np.float64), "of shape (5, 3) and float64"),
        (np.zeros((0, 3), np.float32), "of shape (0, 3) and float32"),
        (np.zeros((5, 3), np.int32), "of I32"),
        (np.zeros((5, 3), np.float16), "of shape (5, 3) and float16"),
    ],
)
def test_a_tensor_of_another_shape_or_dtype(tensor, found, saved):
    rewrite(saved, tensors={"1.weight": tensor})
    message = refused(saved)
    assert f"found tensor '1.weight' {found}; expected" in message


def test_a_layer_far_larger_than_the_file_is_refused_before_memory_is_taken(saved):
    rewrite(saved, in_layer(1, arguments={"in_features": 10**6, "out_features": 10**9}))
    found = "found tensor '1.weight' of shape (5, 3) and float32; expected (1000000000, 1000000)"
    assert found in refused(saved)


@pytest.mark.parametrize(
    ("norm", "name"), [(LayerNorm(3), "normalized_shape"), (BatchNorm1d(3), "num_features")]
)
def test_a_norm_far_larger_than_the_file_is_refused_before_memory_is_taken(norm, name, path):
    fastnn.save(Sequential(norm), path)
    rewrite(path, in_layer(0, arguments={name: 10**10}))
    assert f"{name} is 10000000000, far more than the file holds numbers" in refused(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    assert "no ordinary file" in refused(path)


ALONE = {
    "LayerNorm": {"normalized_shape": 10**6, "elementwise_affine": False},
    "BatchNorm1d": {"num_features": 10**6, "affine": False, "track_running_stats": False},
}


@pytest.mark.parametrize("kind", ALONE)
def test_many_layers_without_tensors_are_refused_before_memory_is_taken(kind, saved):
    """Each holds no more than a small file may; together they would take gigabytes."""
    layers = [{"class": kind, "arguments": ALONE[kind]}] * 500
    rewrite(saved, lambda d: d["model"].update(layers=layers))
    tracemalloc.start()
    try:
        assert "1000000, far more than the file holds numbers" in refused(saved)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(shape, size=0, dtype="F32"):
    return {"1.weight": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}


HEADERS = {
    "70 dimensions": raw(tensor([1] * 70, 4), bytes(4)),
    "70 dimensions of 16 bits": raw(tensor([1] * 70, 2, "BF16"), bytes(2)),
    "70 dimensions of nothing": raw(tensor([0] * 70)),
    "a product that overflows": raw(tensor([2**40, 2**40, 0])),
    "a size that overflows": raw(tensor([0, 2**63])),
    "the largest size": raw(tensor([2**64 - 1, 0])),
    "a size beyond": raw(tensor([2**64, 0])),
    "a negative size": raw(tensor([-1, 0])),
    "more bytes than there are": raw(tensor([2**40], 2**42)),
    "a negative offset": raw({"a": {"dtype": "U8", "shape": [1], "data_offsets": [-1, 0]}}),
    "offsets turned": raw({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 0]}}, b"1"),
    "bytes of nobody": raw(tensor([1], 4), bytes(5)),
    "bytes of two": raw({name: tensor([1], 4)["1.weight"] for name in "ab"}, bytes(4)),
    "a name twice": raw(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
                        b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "a number that is not finite": raw(b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,0]}}'),
    "metadata twice": raw(b'{"__metadata__":{"a":"b","a":"c"}}'),
    "metadata of numbers": raw(b'{"__metadata__":{"a":1}}'),
    "nesting without end": raw(b'{"a":' * 100_000),
    "lists without end": raw(b"[" * 100_000),
    "a length of all there is": b"\xff" * 8 + b"{}",
}  # fmt: skip


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_a_header_of_something_else(content, path):
    path.write_bytes(content)
    tracemalloc.start()
    try:
        refused(path)
        into = Sequential(Linear(3, 5))
        with pytest.raises(ModelFileError):
            fastnn.load(path, into=into)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


SIZES = st.one_of(st.integers(0, 3), st.sampled_from([2**31, 2**32, 2**62, 2**63 - 1, 2**64 - 1]))


@settings(max_examples=150, deadline=None)
@given(
    shape=st.lists(SIZES, max_size=70),
    dtype=st.sampled_from(["F32", "F64", "BF16", "U8", "BOOL", "I16", "F8_E4M3"]),
    size=st.integers(0, 64),
)
def test_a_tensor_of_any_shape_is_a_tensor_or_refused(shape, dtype, size, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(raw(tensor(shape, size, dtype), bytes(size)))
    try:
        found = container.read(path)
    except ModelFileError:
        return
    assert found.tensors["1.weight"].shape == tuple(shape)
    refused(path)


def test_a_description_that_says_something_twice(saved):
    with safetensors.safe_open(saved, "np") as file:
        description = json.loads(file.metadata()["fastnn"])
    del description["checksum"]
    text = json.dumps(description)
    rewrite(saved, metadata={"fastnn": text[:-1] + ', "model": null}'})
    assert "'model' twice" in refused(saved)


def test_a_weight_that_is_not_there(saved):
    with safetensors.safe_open(saved, "np") as file:
        metadata = json.loads(file.metadata()["fastnn"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del metadata["checksum"], tensors["4.weight"]
    safetensors.numpy.save_file(tensors, saved, {"fastnn": json.dumps(metadata)})
    assert "found no tensor '4.weight'; expected one of shape (2, 5)" in refused(saved)


# files that torch wrote


def torch_chain(*modules, dtype=None):
    torch = pytest.importorskip("torch")
    return torch.nn.Sequential(*modules).to(dtype or torch.float32).eval()


def test_a_file_of_torch_s_goes_into_a_chain(path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    theirs = torch_chain(
        nn.Identity(), nn.Linear(3, 5), nn.Tanh(), nn.Dropout(0.25), nn.Linear(5, 2)
    )
    safetensors.torch.save_model(theirs, path)
    model = small_model()
    model.train()
    assert fastnn.load(path, into=model) is model
    assert model.training
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], tensor.numpy(), strict=True)
    x = torch.from_numpy(batch(3, "float32"))
    expected = theirs(torch.from_numpy(model[0](x.numpy()))).detach().numpy()
    np.testing.assert_allclose(model.eval()(x.numpy()), expected, rtol=1.3e-6, atol=1e-5)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_any_width_go_into_a_chain(kind, dtype, path):
    torch = pytest.importorskip("torch")
    tensors = {
        name: torch.from_numpy(array).to(getattr(torch, kind))
        for name, array in small_model(dtype).state_dict().items()
    }
    safetensors.torch.save_file(tensors, path, {"anything": "else"})
    model = fastnn.load(path, into=small_model(dtype))
    for name, tensor in tensors.items():
        expected = tensor.to(getattr(torch, dtype)).numpy()
        np.testing.assert_array_equal(model.state_dict()[name], expected, strict=True)


def test_a_saved_model_goes_into_a_chain(saved):
    model = small_model(dtype="float64")
    model[1].weight = np.zeros((5, 3))
    fastnn.load(saved, into=model)
    assert model[1].weight.dtype == np.float64
    np.testing.assert_array_equal(model[1].weight, small_model()[1].weight.data)


def test_a_damaged_model_goes_into_no_chain(saved):
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    model = small_model()
    with pytest.raises(ModelFileError, match="checksum"):
        fastnn.load(saved, into=model)


def test_tensors_that_do_not_fit_the_chain_change_nothing(saved):
    model = Sequential(Identity(), Linear(4, 5, seed=0), Linear(5, 2, bias=False, seed=0))
    before = model.state_dict()
    with pytest.raises(ModelFileError) as caught:
        fastnn.load(saved, into=model)
    message = str(caught.value)
    assert message.startswith(f"{saved}: found a state does not fit the model: ")
    for part in (
        "missing 2.weight", "unknown 4.bias, 4.weight", "1.weight has shape (5, 4)", "(5, 3)",
    ):  # fmt: skip
        assert part in message
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("wrong", [Linear(2, 2), "model", Sequential])
def test_into_something_that_is_no_chain(wrong, saved):
    with pytest.raises(TypeError, match=r"into is .*; expected a fastnn.Sequential"):
        fastnn.load(saved, into=wrong)


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_layers_of_torch_s_are_a_model(dtype, path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    theirs = torch_chain(nn.Linear(3, 4), nn.Linear(4, 5, bias=False), dtype=getattr(torch, dtype))
    safetensors.torch.save_model(theirs, path)
    with pytest.warns(UserWarning, match=f"{re.escape(str(path))} holds no architecture"):
        model = fastnn.load(path)
    assert repr(model) == repr(Sequential(Linear(3, 4), Linear(4, 5, bias=False)))
    assert model[0].dtype == dtype
    x = batch(3, dtype)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model(x), expected, rtol=1.3e-6, atol=1e-5)


NO_MODEL = {
    "nothing": {},
    "a gap": {"0.weight": (4, 3), "2.weight": (2, 4)},
    "not the first": {"1.weight": (4, 3)},
    "another name": {"0.weight": (4, 3), "0.scale": (4,)},
    "a name of no number": {"fc.weight": (4, 3)},
    "a convolution": {"0.weight": (4, 3, 3, 3)},
    "a vector": {"0.weight": (4,)},
    "other widths": {"0.weight": (4, 3), "1.weight": (2, 5)},
    "another bias": {"0.weight": (4, 3), "0.bias": (3,)},
    "no columns": {"0.weight": (4, 0)},
    "a scalar": {"0.weight": ()},
    "many": {f"{i}.{i}": (1,) for i in range(1000)},
}


@pytest.mark.parametrize("shapes", NO_MODEL.values(), ids=NO_MODEL)
@pytest.mark.filterwarnings("error")
def test_tensors_of_torch_s_that_tell_no_model(shapes, path):
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})
    assert len(refused(path)) < 600


def test_a_model_whose_key_is_damaged_is_not_taken_for_torch_s(path):
    fastnn.save(Sequential(Linear(3, 2), Tanh()), path)
    path.write_bytes(path.read_bytes().replace(b'"fastnn"', b'"fastno"'))
    assert "metadata ['fastno']; expected 'fastnn'" in refused(path)


# whole or not at all


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file_and_leaves_no_other(step, old, error, path, monkeypatch):
    if old is not None:
        path.write_bytes(old)
    before = list(path.parent.iterdir())

    def fail(*_):
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        fastnn.save(small_model(), path)
    assert list(path.parent.iterdir()) == before
    if old is not None:
        assert path.read_bytes() == old


def test_the_old_file_is_replaced(saved):
    fastnn.save(Sequential(Linear(1, 1)), saved)
    assert len(fastnn.load(saved)) == 1
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_link_goes_on_leading_to_the_file(saved):
    link = saved.with_name("link")
    link.symlink_to(saved)
    fastnn.save(Sequential(), link)
    assert link.is_symlink()
    assert len(fastnn.load(saved)) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_mode_follows_the_umask(umask, path):
    program = f"""
import os, fastnn
os.umask({umask})
fastnn.save(fastnn.Sequential(fastnn.ReLU()), {str(path)!r})
"""
    python(program)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("target", ["none/model", "file/model", "."])
def test_a_place_that_cannot_be_written_is_named(target, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=str(tmp_path / target)):
        fastnn.save(small_model(), tmp_path / target)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
