import json
import re
import subprocess
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
from c_headers import COMPILERS, NATIVE, STRICT, compile_c, compiled, ulps
from fastnn import (
    GELU,
    BatchNorm1d,
    Dropout,
    Flatten,
    Identity,
    LayerNorm,
    Linear,
    LogSoftmax,
    Normalize,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    metrics,
)
from fastnn.data.tables.schema import Schema
from fastnn.nn.kinds import LAYERS
from kernels.base import host
from own_layers import Doubled, OtherLinear, OtherSequential
from processes import python

DTYPES = ("float32", "float64")
REAL = {"float32": "float", "float64": "double"}
CLOSE = 4.0  # units in the last place of the largest output
compiles = pytest.mark.skipif(not COMPILERS, reason="there is no C compiler here: gcc or clang")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.h"


def samples(columns, dtype, rows=40, scale=1.0):
    rng = np.random.default_rng(0)
    if dtype == "uint8":
        return rng.integers(0, 256, (rows, columns), np.uint8)
    return (scale * rng.normal(size=(rows, columns))).astype(dtype)


def small_model(dtype="float32"):
    return Sequential(
        Normalize(33.3, 78.6, dtype), Linear(6, 5, dtype=dtype, seed=0), Tanh(), Dropout(0.5),
        Linear(5, 3, dtype=dtype, seed=1),
    )  # fmt: skip


def same(model, path, x, *options, dtype="float32", **how):
    """A compiled header and fastnn agree to 4 ulp of the largest output of each row."""
    expected = fastnn.predict(model, x)
    got = compiled(path, x.dtype, expected.dtype, *options, **how)(x, expected.shape[1])
    assert ulps(got, expected) <= CLOSE


# ------------------------------------------------------------------------- what it computes

LEAVES = {
    kind.__name__: kind
    for kind in (
        ReLU, Tanh, Sigmoid, Softmax, Flatten, Identity, Dropout, LogSoftmax, GELU,
        fastnn.LeakyReLU, fastnn.ELU, fastnn.SiLU, fastnn.Softplus, fastnn.Mish,
        fastnn.Hardswish, fastnn.Hardtanh, fastnn.SmoothClip,
    )
} | {
    "steep LeakyReLU": lambda: fastnn.LeakyReLU(-1.5),
    "ELU of an alpha": lambda: fastnn.ELU(0.3),
    "GELU by tanh": lambda: GELU("tanh"),
    "Softplus of beta": lambda: fastnn.Softplus(2.5, 1.5),
    "Softplus of below 0": lambda: fastnn.Softplus(-1.0),
}  # fmt: skip
NORMS = {
    "LayerNorm": LayerNorm,
    "LayerNorm without bias": lambda n, **how: LayerNorm(n, 1e-3, bias=False, **how),
    "LayerNorm of nothing": lambda n, **how: LayerNorm(n, elementwise_affine=False, **how),
    "BatchNorm1d": BatchNorm1d,
    "BatchNorm1d without weights": lambda n, **how: BatchNorm1d(n, affine=False, **how),
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
        kind = draw(st.sampled_from(["linear", "leaf", "norm", "normalize", "chain"]))
        if kind == "linear":
            width = draw(st.sampled_from([1, 2, 3, 7, 16, 17, 40, 100]))
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


def agrees(data, path, options):
    """A chain of any layers computes the same in C."""
    dtype = data.draw(st.sampled_from(DTYPES))
    columns = data.draw(st.sampled_from([1, 2, 5, 33, 70, 300, 2100]))
    inner, width = data.draw(chains(dtype, columns))
    outputs = data.draw(st.integers(1, 20))
    model = Sequential(inner, Linear(width, outputs, dtype=dtype, seed=0))
    given = data.draw(st.sampled_from([None, "uint8", "float32", "float64"]))
    fastnn.to_c(model, path, input_dtype=given)
    x = samples(columns, given or dtype, scale=data.draw(st.sampled_from([0.1, 1.0, 30.0])))
    same(model, path, x, *options)


@compiles
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_chains_compute_the_same_in_c(path, data):
    agrees(data, path, NATIVE)


@compiles
@pytest.mark.slow
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data(), st.sampled_from([f"-O{level}" for level in "0123"]))
def test_many_chains_compute_the_same_in_c(path, data, level):
    agrees(data, path, (level, "-march=native"))


def together(models, x, folder, *options):
    """The outputs of models of seven columns, whose headers are in one library, one by one."""
    dtype, names = x.dtype.name, [f"m{place}" for place in range(len(models))]
    for name, model in zip(names, models, strict=True):
        fastnn.to_c(model, folder / f"{name}.h", columns=7)
    includes = "".join(f'#include "{name}.h"\n' for name in names)
    calls = "".join(f"{name}_predict(x, y + {7 * i});" for i, name in enumerate(names))
    signature = f"static void every_predict(const {REAL[dtype]} *x, {REAL[dtype]} *y)"
    (folder / "every.h").write_text(f"{includes}{signature} {{ {calls} }}\n")
    y = compiled(folder / "every.h", dtype, dtype, *options)(x, 7 * len(models))
    return np.split(y, len(models), axis=1)


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [NATIVE, ("-O1",)])  # the second has no fused multiply-add
def test_every_kind_of_layer(dtype, options, tmp_path):
    """Each after a product, near 0 and farther out."""
    x = np.concatenate([samples(7, dtype, 300, scale) for scale in (1e-3, 1, 30)])
    models = [Sequential(Linear(7, 7, dtype=dtype, seed=0), kind()) for kind in LEAVES.values()]
    models += [Sequential(norm(kind, 7, dtype), Tanh(), norm(kind, 7, dtype)) for kind in NORMS]
    for model, got in zip(models, together(models, x, tmp_path, *options), strict=True):
        assert ulps(got, fastnn.predict(model, x)) <= CLOSE, model


@compiles
@pytest.mark.skipif("fma" not in host.FEATURES, reason="kernels have no fused multiply-add here")
@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_have_the_kernels_bits(dtype, tmp_path):
    x = np.concatenate([samples(7, dtype, 5000, scale) for scale in (1e-4, 1e-2, 0.3, 1, 4, 15)])
    models = [Sequential(Normalize(0, 1, dtype), kind()) for kind in LEAVES.values()]
    for model, got in zip(models, together(models, x, tmp_path), strict=True):
        expected = fastnn.predict(model, x)
        normal = expected != 0  # what is below the smallest normal number is 0 in fastnn
        np.testing.assert_array_equal(got[normal], expected[normal], err_msg=repr(model))


@compiles
def test_outputs_are_fastnn_s_where_all_are_small(path):
    """Tails, which operators such as log(1 + e^x) would lose."""
    for layer in (
        fastnn.Softplus(),
        GELU(),
        GELU("tanh"),
        fastnn.SiLU(),
        fastnn.ELU(),
        LogSoftmax(),
    ):
        model = Sequential(layer)
        fastnn.to_c(model, path, columns=1)
        x = np.array([[-30], [-12], [-5.5], [-3], [-1e-4], [1e-4], [0]], np.float32)
        same(model, path, x)


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(784, 128, 10), (3000, 1), (3000, 2), (1500, 17)])
def test_long_rows(sizes, dtype, path):
    layers = [Linear(a, b, dtype=dtype, seed=0) for a, b in pairwise(sizes)]
    fastnn.to_c(Sequential(*layers), path)
    for options in (NATIVE, ("-O2",)):
        same(Sequential(*layers), path, samples(sizes[0], dtype, 200), *options)


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes_are_part_of_the_model(dtype, path):
    model = small_model(dtype)
    fastnn.to_c(model, path, input_dtype="uint8")
    assert "model_predict(const uint8_t *x" in path.read_text()
    same(model, path, samples(6, "uint8"))


@compiles
def test_inputs_of_the_other_dtype(path):
    for dtype, other in (DTYPES, DTYPES[::-1]):
        fastnn.to_c(small_model(dtype), path, input_dtype=other)
        same(small_model(dtype), path, samples(6, other))


@compiles
@pytest.mark.parametrize("layers", [(), (Identity(), Dropout(0.5), Sequential()), (Softmax(),)])
def test_chains_of_any_number_of_columns(layers, path):
    model = Sequential(*layers)
    fastnn.to_c(model, path, columns=5)
    same(model, path, samples(5, "float32"))


@compiles
def test_a_batch_of_one_row_normalises_itself(path):
    layer = BatchNorm1d(4, track_running_stats=False)
    layer.weight, layer.bias = [1, 2, 3, 4.0], [5, 6, 7, 8.0]
    model = Sequential(layer, Linear(4, 4, seed=0))
    fastnn.to_c(model, path)
    for row in samples(4, "float32", 3):
        same(model, path, row[None])


@compiles
def test_long_chains_of_functions(path):
    kinds = (fastnn.SmoothClip, lambda: BatchNorm1d(4, track_running_stats=False), fastnn.ELU)
    model = Sequential(*(kind() for kind in kinds * 8))
    fastnn.to_c(model, path)
    same(model, path, samples(4, "float32", 1))
    assert path.stat().st_size < 20_000


@compiles
def test_weights_that_are_no_usual_numbers(path):
    model = Sequential(Linear(8, 8, seed=0), Linear(8, 1, seed=1), Linear(1, 8, seed=2), ReLU())
    for place, value in enumerate((np.nan, np.inf, -np.inf, 1e-45, -1e-40, -0.0, 3.4e38)):
        model[0].weight[place, place] = model[0].bias[place] = value
    for layers in (model, Sequential(model[0], ReLU()), Sequential(model[0], Softmax())):
        fastnn.to_c(Sequential(*layers), path)
        same(Sequential(*layers), path, samples(8, "float32"))


@compiles
def test_x_and_y_may_be_one_array(path):
    for model in (small_model(), Sequential(Linear(6, 6, seed=0)), Sequential(Tanh())):
        fastnn.to_c(model, path, columns=6)
        x = samples(6, "float32", 1)
        expected = fastnn.predict(model, x)
        header = path.with_name("same.h")
        header.write_text(
            '#include "model.h"\nstatic void same_predict(const float *x, float *y)\n{\n'
            "    for (int j = 0; j < 6; ++j)\n        y[j] = x[j];\n    model_predict(y, y);\n}\n"
        )
        got = compiled(header, "float32", "float32")(x, 6)
        assert ulps(got[:, : expected.shape[1]], expected) <= CLOSE


def test_every_layer_has_c_source(tmp_path):
    arguments = {"Linear": (3, 2), "LayerNorm": (3,), "BatchNorm1d": (3,), "Normalize": (1, 2)}
    for name, kind in LAYERS.items():
        fastnn.to_c(Sequential(kind(*arguments.get(name, ()))), tmp_path / "a.h", columns=3)


# ----------------------------------------------------------------------- probabilities


def meaning(path):
    return re.search(r"the row y, \d+ numbers?: (.*)\.\n", path.read_text())[1]


@compiles
def test_probabilities_are_the_softmax_of_a_classifier_s_outputs(path):
    model, x = small_model(), samples(6, "float32")
    probabilities = Sequential(*model, Softmax())
    fastnn.to_c(model, path)
    assert meaning(path) == "the outputs of the network"
    same(model, path, x)
    fastnn.to_c(model, path, probabilities=True)
    assert meaning(path) == "probabilities, the softmax of the network's outputs"
    same(probabilities, path, x)
    model.classes = ("a", "b", "c")
    fastnn.to_c(model, path)
    same(probabilities, path, x)
    fastnn.to_c(model, path, probabilities=False)
    assert meaning(path) == "the outputs of the network"
    same(model, path, x)


@compiles
@pytest.mark.parametrize("loss", [fastnn.CrossEntropyLoss(), fastnn.BCEWithLogitsLoss()])
@pytest.mark.parametrize("ending", [(), (LogSoftmax(),), (Sigmoid(),)])
def test_probabilities_are_those_of_the_loss(loss, ending, path):
    model, x = Sequential(*small_model(), *ending), samples(6, "float32")
    y = np.eye(3)[np.arange(len(x)) % 3]
    optimizer = fastnn.SGD(model.parameters(), lr=0.1)
    fastnn.fit(model, x, y, loss=loss, optimizer=optimizer, epochs=1, batch_size=8)
    fastnn.to_c(model, path)
    word = "softmax" if isinstance(loss, fastnn.CrossEntropyLoss) else "sigmoid"
    assert meaning(path) == f"probabilities, the {word} of the network's outputs"
    expected = fastnn.predict_proba(model, x)
    assert ulps(compiled(path, "float32", "float32")(x, 3), expected) <= CLOSE


@compiles
def test_softmax_is_applied_once(path):
    model = Sequential(small_model(), Sequential(Softmax(), Identity()), Dropout(0.5))
    model.classes = ("a", "b", "c")
    fastnn.to_c(model, path)
    assert meaning(path) == "probabilities, which the network gives"
    same(model, path, samples(6, "float32"))


@compiles
def test_one_output_is_the_probability_of_the_second_class(path):
    model, x = Sequential(Linear(6, 1, seed=0)), samples(6, "float32")
    for each in (model, Sequential(*model, Sigmoid())):
        each.classes = ("no", "yes")
        fastnn.to_c(each, path)
        assert meaning(path).startswith("the probability of the second class")
        assert 'y[0]: "yes"' in path.read_text()
        same(Sequential(*model, Sigmoid()), path, x)


@compiles
def test_outputs_that_are_probabilities_already(path):
    model, x = small_model(), samples(6, "float32")
    model.classes, model.schema = ("a", "b", "c"), Schema(link="identity")
    fastnn.to_c(model, path)
    assert meaning(path) == "probabilities, the network's outputs divided by their sum"
    got = compiled(path, "float32", "float32")(x, 3)
    expected = metrics.probabilities(fastnn.predict(model, x), "identity")
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-30)


# ----------------------------------------------------------------------------- the file


def test_what_the_first_lines_say(path):
    fastnn.to_c(small_model(), path)
    lines = path.read_text().splitlines()
    assert lines[0] == f"/* model: a neural network, written by fastnn {fastnn.__version__}."
    assert lines[2] == " * Memory: 212 bytes of constants and at most 1,124 bytes of stack."
    assert lines[4] == " *     static void model_predict(const float *x, float *y);"
    assert lines[6:8] == [
        " * computes from a row x, 6 numbers,",
        " * the row y, 3 numbers: the outputs of the network.",
    ]
    fastnn.to_c(small_model("float64"), path)
    assert "static void model_predict(const double *x, double *y)\n{" in path.read_text()


@pytest.mark.skipif(
    "gcc" not in COMPILERS, reason="gcc, which tells the use of the stack, is not here"
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [("-O0",), ("-O2",), ("-O3", "-march=native")])
def test_the_memory_is_what_the_first_lines_say(dtype, options, path):
    model = Sequential(
        norm("LayerNorm", 100, dtype), Linear(100, 127, dtype=dtype), GELU(), LogSoftmax(),
        fastnn.Softplus(), Linear(127, 10, dtype=dtype), Linear(10, 2, dtype=dtype), Softmax(),
    )  # fmt: skip
    fastnn.to_c(model, path)
    constants, stack = (
        int(each.replace(",", ""))
        for each in re.findall(r"([\d,]+) bytes", path.read_text().splitlines()[2])
    )
    signature = f"void run(const {REAL[dtype]} *x, {REAL[dtype]} *y)"
    code = f'#include "model.h"\n{signature};\n{signature} {{ model_predict(x, y); }}\n'
    library = compile_c(code, path.parent, *STRICT, *options, "-fstack-usage", compiler="gcc")
    (told,) = library.parent.glob("*.su")
    used = {
        line.split("\t")[0].split(":")[-1]: int(line.split("\t")[1])
        for line in told.read_text().splitlines()
    }
    own = used.pop("model_predict", 0) + used.pop("run")
    assert own + sum(sorted(used.values())[-4:]) <= stack  # no function is called deeper
    numbers = sum(each.size for each in model.parameters())
    assert constants == (numbers - 2) * np.dtype(dtype).itemsize  # two biases are in the code


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("digits.h", "digits"), ("my-model 2.h", "my_model_2"), ("3d.h", "model_3d"),
        ("ü.h", "model"), ("_x.h", "x"), ("int.h", "int"), ("a.b.h", "a_b"), ("*/.h", "model"),
    ],
)  # fmt: skip
def test_names_are_made_from_the_file_s(file, name, tmp_path):
    fastnn.to_c(small_model(), tmp_path / file.replace("/", "_"))
    assert f" {name}_predict(" in (tmp_path / file.replace("/", "_")).read_text()


def test_a_name_that_is_given(path):
    fastnn.to_c(small_model(), path, name="Net_2")
    text = path.read_text()
    assert "static void Net_2_predict(const float *x, float *y)" in text
    assert "model" not in text


ODD = (
    'a"b',
    "back\\slash",
    "two\nlines",
    "*/ end",
    "/* begin",
    "??/",
    "ends in \\",
    "ü€",
    "// x",
    "\x00",
)


@compiles
@pytest.mark.parametrize("compiler", COMPILERS)
def test_odd_texts_stay_in_the_comment(compiler, path):
    model = Sequential(Linear(3, len(ODD), seed=0))
    model.classes = ODD
    model.schema = Schema.from_dict(
        {"columns": [{"name": "*/"}, {"name": "a\\"}, {"name": "??/\n"}]}
    )
    fastnn.to_c(model, path)
    same(Sequential(*model, Softmax()), path, samples(3, "float32"), compiler=compiler)
    told = re.findall(r"^ \* y\[(\d+)\]: (.*)$", path.read_text(), re.MULTILINE)
    assert [(int(place), json.loads(text)) for place, text in told] == [*enumerate(ODD)]


def test_columns_of_a_table_are_told(path):
    plain = {
        "columns": [
            {"name": "age", "fill": 38.5},
            {"name": "colour", "categories": ["red", "blue"], "other": True},
        ],
        "target": {"name": "price", "task": "regression", "mean": 0.0, "std": 1.0},
    }
    model = Sequential(Linear(4, 1))
    model.schema = Schema.from_dict(plain)
    fastnn.to_c(model, path)
    text = path.read_text()
    for line in ('x[0]: "age"', 'x[2]: "colour=blue"', 'x[3]: "colour=(other)"', 'y[0]: "price"'):
        assert f" * {line}\n" in text
    told = json.loads(re.search(r"^ \* schema: (.*)$", text, re.MULTILINE)[1])
    assert Schema.from_dict(told) == model.schema
    model = Sequential(Normalize(0, 1), ReLU())  # no layer tells how many columns there are
    model.schema = Schema.from_dict(plain)
    fastnn.to_c(model, path)
    assert "a row x, 4 numbers" in path.read_text()


MAIN = """
#include "a.h"
#include "b.h"
#include "a.h"
#include <stdio.h>

int main(void)
{
    const float x[6] = {1, 2, 3, 4, 5, 6};
    float y[3];
    a_predict(x, y);
    for (int j = 0; j < 3; ++j)
        printf("%.9g\\n", (double)y[j]);
    return 0;
}
"""


@compiles
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_program_of_two_headers(compiler, tmp_path):
    """One of them is not used, and one is included twice."""
    for name, dtype in zip("ab", DTYPES, strict=True):
        fastnn.to_c(small_model(dtype), tmp_path / f"{name}.h")
    (tmp_path / "main.c").write_text(MAIN)
    command = [compiler, *STRICT, "-O2", tmp_path / "main.c", "-o", tmp_path / "main", "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    got = np.array(done.stdout.split(), np.float32)
    expected = fastnn.predict(small_model(), np.array([[1, 2, 3, 4, 5, 6]], np.float32))
    assert ulps(got[None], expected) <= CLOSE


@compiles
def test_two_models_of_one_name_do_not_hide_each_other(tmp_path):
    for folder, seed in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        fastnn.to_c(Sequential(Linear(2, 2, seed=seed)), tmp_path / folder / "model.h")
    with pytest.raises(AssertionError, match=r"redefinition of .*model_predict"):
        compile_c('#include "a/model.h"\n#include "b/model.h"\n', tmp_path)


@compiles
def test_other_modes_of_the_compiler(path):
    """Compilers fuse products and sums by default, which would change the bits."""
    model = Sequential(
        Linear(5, 30, seed=0), LayerNorm(30), Normalize(0.5, 1 / 3), Normalize(0.5, 1 / 3),
        Linear(30, 2, seed=1), LayerNorm(2), Linear(2, 5, seed=2), LogSoftmax(),
    )  # fmt: skip
    fastnn.to_c(model, path)
    x = samples(5, "float32", 300)
    for compiler in COMPILERS:
        same(model, path, x, "-std=gnu11", "-O3", "-march=native", compiler=compiler)
    same(model, path, x, "-std=c11", "-O1")


@compiles
@pytest.mark.parametrize("compiler", COMPILERS)
def test_modes_that_would_make_it_wrong_are_refused(compiler, path):
    fastnn.to_c(small_model(), path)
    with pytest.raises(AssertionError, match="compile this file without it"):
        compile_c('#include "model.h"\n', path.parent, "-ffast-math", compiler=compiler)


@pytest.mark.skipif("gcc" not in COMPILERS, reason="there is no C++ compiler here: gcc")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_header_is_cpp_too(dtype, path):
    model = Sequential(*(kind() for kind in LEAVES.values()), Linear(3, 2, dtype=dtype))
    fastnn.to_c(model, path)
    options = "-std=c++11", "-Wall", "-Wextra", "-pedantic", "-Werror"
    compile_c('#include "model.h"\n', path.parent, *options, ending="cpp")


def test_one_model_gives_one_file(tmp_path):
    for name in "ab":
        fastnn.to_c(small_model(), tmp_path / name, name="net")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_model_is_left_as_it_was(path, bits):
    model = small_model()
    model.train()
    before = bits(model)
    fastnn.to_c(model, path)
    assert bits(model) == before
    assert model.training
    assert model[3].training


def test_no_other_package_is_needed(tmp_path):
    code = "import sys, fastnn; fastnn.to_c(fastnn.Sequential(fastnn.Linear(2, 2)), 'm.h'); " \
        "print({'onnx', 'torch', 'sklearn', 'pandas'} & {*sys.modules})"  # fmt: skip
    assert python(code, cwd=tmp_path).stdout == "set()\n"


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            Sequential(Doubled(), Sequential(Tanh(), OtherLinear(2, 2)), OtherSequential()),
            TypeError,
            r"to_c: no operators for 0 \(Doubled\), 1\.1 \(OtherLinear\), 2 \(OtherSequential\)",
        ),
        (Linear(2, 2), TypeError, "to_c: got a Linear; expected a fastnn.Sequential"),
        (Sequential(Linear(2, 3), Linear(4, 2)), ValueError, r"x has shape \(1, 3\); expected .*4"),
        (Sequential(Linear(2, 2), Normalize([1, 2, 3.0])), ValueError, "x has 2 columns"),
        (Sequential(Tanh()), ValueError, "to_c: no layer fixes the number of columns of x"),
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
        fastnn.to_c(model, path)
    assert path.read_text() == "before"
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            ({"name": each}, "to_c: name is .*; expected")
            for each in ("", "2d", "a b", "ü", "_a", 3)
        ),
        ({"name": "a\n"}, "to_c: name is"),
        ({"input_dtype": "int8"}, "to_c: input_dtype is 'int8'; expected uint8, float32, float64"),
        ({"columns": 5}, "to_c: columns is 5; the layers expect 6"),
        ({"columns": 0}, "to_c: columns is 0"),
    ],
)
def test_arguments_that_are_refused(arguments, message, path):
    with pytest.raises(ValueError, match=message):
        fastnn.to_c(small_model(), path, **arguments)
    assert not path.exists()


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fastnn.to_c(small_model(), tmp_path / "nowhere" / "model.h")
