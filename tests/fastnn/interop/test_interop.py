import sys

import pytest

import fastnn
from fastnn import Linear, Sequential
from processes import python


@pytest.fixture
def without(monkeypatch):
    """Have Python find no such package."""

    def hide(package):
        for name in [*sys.modules]:
            if name == f"fastnn.interop.{package}":
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hide


@pytest.mark.parametrize(
    ("package", "function", "call"),
    [
        ("torch", "from_torch", lambda path: fastnn.from_torch(None)),
        ("torch", "to_torch", lambda path: Sequential(Linear(2, 2)).to_torch()),
        ("onnx", "to_onnx", lambda path: fastnn.to_onnx(Sequential(Linear(2, 2)), path)),
    ],
)
def test_a_missing_package_is_named_and_how_to_install_it(
    without, package, function, call, tmp_path
):
    without(package)
    expected = (
        rf"fastnn.{function} needs {package}, which is not installed: "
        rf"pip install 'fastnn\[{package}\]'"
    )
    with pytest.raises(ImportError, match=expected):
        call(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_package_that_lacks_something_itself_is_not_called_missing(tmp_path):
    (tmp_path / "torch.py").write_text("import something_else")
    result = python("import fastnn; fastnn.from_torch(None)", path=[tmp_path], check=False)
    assert result.stderr.endswith("ModuleNotFoundError: No module named 'something_else'\n")


WITHOUT = """
import sys

class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "PACKAGE":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent)
import fastnn
from fastnn import *
from fastnn.files import models as checkpoint
from fastnn.runs import run as runs
from fastnn.__main__ import app
print(len(fastnn.__all__), fastnn.from_torch.__name__)
"""


@pytest.mark.parametrize("package", ["torch", "onnx"])
def test_nothing_else_needs_the_package(package):
    result = python(WITHOUT.replace("PACKAGE", package))
    assert result.stdout.split()[1] == "from_torch"
