r"""What is printed: no name can command a terminal, and an output that fails is said once."""

import ast
import contextlib
import io
import os
import pathlib
import re
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn
from command_line import run
from fastnn.cli import output
from fastnn.cli.output import visible
from processes import ROOT, python

CLI = pathlib.Path(output.__file__).parent
EVIL = "a\x1b]0;title\x07\x1b[2J\r\u202eb\u2066\x00\x9b31m\nfastnn: all is well\udce9"
SEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")


# ---------------------------------------------------------------- one place


def test_the_commands_print_through_it_alone():
    found = []
    for path in CLI.glob("*.py"):
        if path.stem in ("output", "tables"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node, "attr", getattr(node, "id", ""))
            if name in ("echo", "secho", "print", "Console", "stderr"):
                found.append((path.name, node.lineno, name))
    assert not found


@given(st.text())
def test_nothing_but_letters_is_left_of_a_name(text):
    shown = visible(text)
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown)
    assert not any(unicodedata.bidirectional(each)[:2] in ("LR", "RL", "PD") for each in shown
                   if unicodedata.category(each) == "Cf")  # fmt: skip
    assert visible(shown) == shown


@pytest.mark.parametrize("text", ["Zürich", "猫", "👩‍👩‍👧", "a b", "नमस्ते", r"a\x1b", "<b>&"])
def test_letters_stay_as_they_are(text):
    assert visible(text) == text


# ---------------------------------------------------------------- names of every kind


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A file whose names are evil, and the folder of a run on it."""
    folder = tmp_path_factory.mktemp("evil")
    evil = EVIL.replace("\0", "").replace("\udce9", "")
    path = folder / f"t{evil.replace('/', '')}.csv"
    rows = [f'"{evil}",b,"y{evil}"'] + [
        f'{i % 7},{"c" if i % 3 else evil.splitlines()[0]},"{evil}{i % 2}"' for i in range(90)
    ]
    path.write_text("\n".join(rows) + "\n", newline="")
    return path, f"y{evil}", folder / f"run{evil.replace('/', '')}"


def harmless(result):
    assert not SEEN.search(result.stdout), result.stdout
    assert not SEEN.search(result.stderr), result.stderr
    assert "\nfastnn: all is well" not in result.stdout
    assert "Traceback" not in result.output
    return result


def test_no_command_prints_an_escape(table):
    path, target, folder = table
    arguments = ["--target", target, "--epochs", 2, "--out", folder]
    result = harmless(run("train", path, *arguments))
    assert result.exit_code == 0, result.output
    assert r"\x1b]0;title\x07" in result.stdout
    model = folder / "model.safetensors"
    for command in (
        ["info", model], ["evaluate", model, path], ["predict", model, path],
        ["plot", folder, "--out", folder / "plots"],
        ["sweep", path, "--target", target, "--epochs", 1, "--jobs", 1, "--out", folder / "sweep"],
        ["predict", model, path, "--out", folder / "out.csv"],
    ):  # fmt: skip
        result = harmless(run(*command))
        assert result.exit_code == 0, (command, result.output)
    for command in (
        ["info", folder / "none"], ["info", path], ["train", folder], ["evaluate", model, EVIL],
        ["train", path, "--target", EVIL], ["train", path, "--drop", EVIL], [EVIL],
        ["train", f"--{EVIL}"], ["plot", EVIL], ["sweep", path, "--activation", EVIL],
        ["train", path, "--checkpoint", path, "--resume"], ["reproduce", EVIL],
    ):  # fmt: skip
        result = harmless(run(*map(str, command)))
        assert result.exit_code != 0, command


def test_a_model_file_with_evil_classes(tmp_path):
    model = fastnn.Sequential(fastnn.Linear(3, 2, seed=0))
    model.classes = (EVIL, f"$x^${EVIL}")
    fastnn.save(model, tmp_path / "model")
    np.save(tmp_path / "rows.npy", np.ones((4, 3)))
    for command in (["info"], ["predict"]):
        rows = [tmp_path / "rows.npy"] if command == ["predict"] else []
        result = harmless(run(*command, tmp_path / "model", *rows))
        assert result.exit_code == 0
        assert "title" in result.stdout


def test_names_are_no_codes_of_tables(tmp_path):
    model = fastnn.Sequential(fastnn.Linear(3, 2, seed=0))
    model.classes = (":smile:", "[red]b[/red]")
    fastnn.save(model, tmp_path / "model")
    np.save(tmp_path / "rows.npy", np.ones((4, 3)))
    shown = run("predict", tmp_path / "model", tmp_path / "rows.npy").stdout
    assert all(name in shown for name in model.classes)


def test_data_go_as_they_are_unless_to_a_terminal(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, expected in ((io.StringIO(), "\x1b[2J\n"), (Terminal(), "\\x1b[2J\n")):
        with contextlib.redirect_stdout(stream), output.standard_output() as file:
            file.write("\x1b[2J\n")
        assert stream.getvalue() == expected


# ---------------------------------------------------------------- outputs that fail


def command(*arguments, **options):
    program = "from fastnn.__main__ import main; main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", program, *map(str, arguments)],
        **{"stderr": subprocess.PIPE, "text": True, "check": False, "timeout": 300} | options,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    chain = fastnn.Sequential(fastnn.Linear(3, 12, seed=0))
    chain.classes = [f"{'class' * 99} {i}" for i in range(12)]
    fastnn.save(chain, folder / "model")
    np.save(folder / "rows.npy", np.ones((9999, 3)))
    return folder / "model", folder / "rows.npy"


COMMANDS = {
    "info": lambda model, rows: ["info", model],
    "predict": lambda model, rows: ["predict", model, rows],
    "data": lambda model, rows: ["predict", model, rows, "--out", "-"],
    "help": lambda model, rows: ["train", "--help"],
    "version": lambda model, rows: ["--version"],
}


@posix
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_full_disk_is_said_in_one_line(arguments, model):
    with open("/dev/full", "w") as full:
        done = command(*arguments(*model), stdout=full)
    assert done.returncode == 1
    said = r"fastnn: (standard output: |\[Errno 28\] )No space left on device\n"
    assert re.fullmatch(said, done.stderr), done.stderr


@posix
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_reader_that_is_gone_ends_it_quietly(arguments, model):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = command(*arguments(*model), stdout=writing)
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (1, 141)


@posix
def test_data_for_an_output_that_is_closed_are_an_error(model):
    program = "import sys; sys.stdout = None; from fastnn.__main__ import main; main()"
    done = python(program, "predict", *model, "--out", "-", check=False)
    assert done.returncode == 1
    assert done.stderr == "fastnn: standard output: Bad file descriptor\n"


@posix
def test_an_error_that_cannot_be_said_is_a_status(model):
    with open("/dev/full", "w") as full:
        assert command("info", "none", stderr=full, stdout=subprocess.PIPE).returncode == 2
        assert command("info", model[1], stderr=full, stdout=subprocess.PIPE).returncode == 2
        done = command("info", model[0], stderr=full, stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert "parameters" in done.stdout


@posix
@pytest.mark.parametrize("where", ["/dev/stdout", "/proc/self/fd/1"])
def test_outputs_to_standard_output_are_whole_and_alone(where, model, tmp_path):
    chain, rows = model
    expected = tmp_path / "expected.csv"
    command("predict", chain, rows, "--out", expected)
    for target in (tmp_path / "got", subprocess.PIPE):
        with contextlib.ExitStack() as stack:
            file = target
            if target is not subprocess.PIPE:
                file = stack.enter_context(open(target, "w"))
            done = command("predict", chain, rows, "--out", where, stdout=file)
        assert done.returncode == 0, done.stderr
        got = done.stdout if target is subprocess.PIPE else target.read_text("utf-8")
        assert got == expected.read_text("utf-8")


def test_names_that_an_encoding_lacks_are_escaped(tmp_path):
    chain = fastnn.Sequential(fastnn.Linear(3, 2, seed=0))
    chain.classes = ("猫", "é")
    fastnn.save(chain, tmp_path / "model")
    program = "import sys; sys.stdout.reconfigure(encoding='latin-1'); " \
        "from fastnn.__main__ import main; main()"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "info", tmp_path / "model"], capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"classes: \\u732b, \xe9" in done.stdout
