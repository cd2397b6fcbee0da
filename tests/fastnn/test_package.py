import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn
from processes import ROOT, python

RUN = "import fastnn; fastnn.Linear(1, 1)"
HEAVY = "numba", "llvmlite", "matplotlib", "sklearn", "scipy", "rich", "pooch", "kernels"


def test_import_is_light():
    done = python(f"import sys, fastnn; print([name for name in {HEAVY} if name in sys.modules])")
    assert done.stdout.strip() == "[]"


def test_training_does_not_load_what_it_does_not_use():
    code = """
import sys
import numpy as np
from fastnn import *
model = Sequential(Linear(4, 2), Tanh())
fit(model, np.ones((8, 4)), np.zeros(8, int), loss=CrossEntropyLoss(), epochs=1, batch_size=4,
    optimizer=SGD(model.parameters()))
print([name for name in ("matplotlib", "sklearn", "rich", "pooch", "torch") if name in sys.modules])
""".replace("import *", "import CrossEntropyLoss, Linear, SGD, Sequential, Tanh, fit")
    assert python(code).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "code",
    [
        "from fastnn.training.history import History; History(loss=[1.0]).plot()",
        "from fastnn.nn.sequential import Sequential; Sequential().to_torch()",
    ],
)
def test_methods_that_higher_rooms_carry_out(code):
    """They work in an interpreter that has imported nothing but the lower room."""
    python(code)


def test_every_name_leads_somewhere():
    assert len(set(fastnn.__all__)) == len(fastnn.__all__)
    assert set(fastnn.__all__) <= set(dir(fastnn))
    for name in fastnn.__all__:
        value = getattr(fastnn, name)
        assert value is not None
        assert name in vars(fastnn)  # looked up once
    assert isinstance(fastnn.__version__, str)
    assert fastnn.fit.__module__ == "fastnn.training.fit"


def test_the_promised_names_are_there():
    promised = {
        "Adam", "AdamW", "BCEWithLogitsLoss", "BatchNorm1d", "Callback", "CrossEntropyLoss",
        "Dropout", "ELU", "Evaluation", "Flatten", "GELU", "GaussianNLLLoss", "Hardswish",
        "Hardtanh", "History", "HuberLoss", "Identity", "L1Loss", "Layer", "LayerNorm", "LeakyReLU",
        "Linear", "LogSoftmax", "MSELoss", "Mish", "NLLLoss", "NonFiniteLossError",
        "Normalize", "Parameter", "PoissonNLLLoss", "QuantileLoss", "RMSprop", "ReLU",
        "SGD", "Sequential", "SiLU", "Sigmoid", "SmoothClip", "Softmax", "Softplus",
        "Tanh", "Training",
        "callbacks", "datasets", "estimators", "evaluate", "fit", "from_torch",
        "get_num_threads", "initializers", "load", "plots", "predict", "save", "schedules",
        "set_num_threads", "to_c", "to_onnx",
    }  # fmt: skip
    assert promised <= set(fastnn.__all__)


def test_type_checkers_read_the_same_modules():
    """They read a stub; when a program runs, names are looked up in the same modules."""
    stub = Path(fastnn.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    homes = re.findall(r"^from fastnn\.(\S+) import \*$", stub, re.MULTILINE)
    assert sorted(homes) == sorted(fastnn._HOMES)
    modules = re.findall(r"^from fastnn import (\w+) as \1\b", stub, re.MULTILINE)
    assert modules == list(fastnn._MODULES)


def test_private_names_fail_at_once():
    code = """
import sys, fastnn
for name in ("_Linear", "__wrapped__", "__path_hooks__"):
    assert not hasattr(fastnn, name)
print("numba" in sys.modules)
"""
    assert python(code).stdout.strip() == "False"


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'fastnn' has no attribute 'Lineal'"):
        fastnn.Lineal  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Lineal'"):
        exec("from fastnn import Lineal")


def test_star_import_gives_all():
    code = "from fastnn import *; print(Linear(2, 2), fit.__name__, datasets.__name__)"
    assert "Linear(in_features=2" in python(code).stdout


# --------------------------------------------------- another package named `kernels`


@pytest.mark.parametrize(
    "files",
    [
        {"kernels/__init__.py": "raise RuntimeError('it was imported')"},
        {"kernels/__init__.py": ""},
        {"kernels.py": "x = 1"},
        {"kernels/__init__.py": b"# \xff not text"},
    ],
    ids=["package", "empty package", "module", "not text"],
)
def test_someone_else_s_kernels(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    done = python("import fastnn", check=False, path=[tmp_path])
    assert done.returncode == 1
    last = done.stderr[done.stderr.index("ImportError") :]
    assert "fastnn needs its own package `kernels`, but the one found is " + str(tmp_path) in last
    assert "pip uninstall kernels" in last
    assert "it was imported" not in done.stderr


def test_a_copy_elsewhere_is_someone_else_s(tmp_path):
    """Whatever it says of itself: the kernels are those beside fastnn."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text((ROOT / "kernels/__init__.py").read_text())
    done = python("import fastnn", check=False, path=[tmp_path])
    assert f"the one found is {tmp_path}" in done.stderr


@pytest.mark.parametrize("arguments", [["-m", "fastnn", "--version"], ["script.py"], ["-c", RUN]])
def test_a_module_of_that_name_in_the_current_folder_is_not_run(tmp_path, arguments):
    """Python looks there first when it runs a module, a script or a command."""
    (tmp_path / "kernels.py").write_text("open('ran', 'w')")
    (tmp_path / "script.py").write_text(RUN)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=env | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "ImportError: fastnn needs its own package `kernels`" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_nor_is_one_in_a_folder_that_becomes_the_current_one(tmp_path):
    """As in an interactive session, whose path begins with the current folder."""
    (tmp_path / "kernels.py").write_text("open('ran', 'w')")
    code = (
        "import os, sys, fastnn; sys.path.insert(0, ''); os.chdir(sys.argv[1]); fastnn.Linear(1, 1)"
    )
    python(code, tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_no_kernels_at_all(tmp_path):
    (tmp_path / "fastnn").symlink_to(ROOT / "fastnn")
    done = subprocess.run(  # -S: without site-packages, where fastnn may be installed
        [sys.executable, "-S", "-P", "-c", "import fastnn"], capture_output=True, text=True,
        timeout=60, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "ImportError: fastnn needs its own package `kernels`, but there is none" in done.stderr


def test_a_folder_of_that_name_is_not_the_package(tmp_path):
    """A namespace package has no file to look into; what is further along the path is found."""
    (tmp_path / "kernels").mkdir()
    done = python("import fastnn; print(fastnn.Linear(1, 1))", path=[tmp_path])
    assert done.stdout.startswith("Linear")
