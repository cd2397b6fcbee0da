"""Targets of coverage-guided fuzzing: a reader each, its seeds, and the errors that it may raise.

A seed is what the project itself writes. An input is read as a user's file would be; only the
errors that the reader documents may come of it, within bounds of time and memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import safetensors.numpy
from PIL import Image, ImageDraw

import fastnn
from best_weights import Best
from fastnn import Dropout, Linear, Normalize, Sequential, Tanh
from fastnn.data import idx
from fastnn.data.images import Conversion
from fastnn.data.tables.preparing import Preparation, load_table
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.sources import open_source
from fastnn.data.tables.understanding import Wishes
from fastnn.files import container, models
from fastnn.files.container import ModelFileError
from fastnn.runs.results import Result, SweepFileError, read_results
from fastnn.runs.settings import Settings
from fastnn.training.checkpoints import parts_in
from idx_files import packed_idx
from made_up import edit_header, edited, split
from memory import peak


@dataclass(frozen=True)
class Target:
    """A reader under test.

    `read` gets an input and an empty folder. `seeds` makes inputs that are read without an error.
    `errors` are those that may be raised. `change`, if there is one, changes an input in ways that
    bytes changed at random do not find. `megabytes` is the memory that reading an input of some
    kilobytes may take.
    """

    read: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]
    errors: tuple[type[Exception], ...]
    change: Callable[[bytes, Random], bytes] | None = None
    megabytes: int = 300

    def attempt(self, content: bytes, folder: Path) -> Exception | None:
        """Return the allowed error that reading raises, or None.

        Raises MemoryError if more memory was taken than is allowed, and any other error.
        """
        before, refusal = peak(), None
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                self.read(content, folder)
            except self.errors as error:
                refusal = error
        if (taken := peak() - before) > self.megabytes:
            raise MemoryError(f"{len(content):,} bytes of input took {taken:,.0f} MB") from refusal
        return refusal


def _edit_json(content: bytes, rng: Random) -> bytes:
    return json.dumps(edited(json.loads(content), rng)).encode()


# ------------------------------------------------------------------------------- models


@cache
def _models() -> list[Sequential]:
    """Return models with every kind of thing that a description holds."""
    plain = Sequential(
        Normalize([0.5, 0.1, -2.0], [1.0, 2.0, 0.5]), Linear(3, 4, seed=1), Tanh(),
        Dropout(0.2, seed=3), Sequential(fastnn.ELU(0.5), Linear(4, 2, seed=2)),
    )  # fmt: skip
    plain.classes = ("no", "yes")
    norms = Sequential(
        fastnn.BatchNorm1d(3, dtype=np.float64), Linear(3, 2, False, np.float64, seed=1),
        fastnn.LayerNorm([2], dtype=np.float64), fastnn.GELU("tanh"), fastnn.LogSoftmax(),
    )  # fmt: skip
    picture = Sequential(Linear(784, 2, seed=1))
    picture.schema = Schema(image=Conversion())
    table = Sequential(Linear(4, 2, seed=1))
    table.schema = _table_schema()
    return [plain, norms, picture, table]


def _table_schema() -> Schema:
    plain = {
        "columns": [{"name": "size"}, {"name": "kind", "categories": ["a", "b", "c"]}],
        "named": True,
    }
    return Schema.from_dict(plain)


def _without_checksum(content: bytes) -> bytes:
    """Return a model file that other programs may change."""
    tensors, (header, _) = safetensors.numpy.load(content), split(content)
    description = json.loads(header["__metadata__"]["fastnn"])
    del description["checksum"]
    return safetensors.numpy.save(tensors, {"fastnn": json.dumps(description)})


def _use(path: Path) -> None:
    """Load a model, and do what every model can do."""
    model = fastnn.load(path)
    repr(model)
    models.dumps(model)
    model.state_dict()


def _read_container(content: bytes, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    _use(path)


def _container_seeds() -> list[bytes]:
    whole = [models.dumps(model) for model in _models()[:2]]
    foreign = safetensors.numpy.save(
        {"0.weight": np.ones((2, 3), "f4"), "0.bias": np.ones(2, "f4")}
    )
    return [*whole, *map(_without_checksum, whole), foreign]


def _read_description(content: bytes, folder: Path) -> None:
    """Load files with the input as description, each with the tensors of another model."""
    text = content.decode("utf-8", "replace")
    for number, model in enumerate(_models()):
        path = folder / f"{number}.safetensors"
        path.write_bytes(safetensors.numpy.save(model.state_dict(), {"fastnn": text}))
        with suppress(ModelFileError):
            _use(path)


def _description_seeds() -> list[bytes]:
    described = [models.description_of(model) for model in _models()]
    return [json.dumps({"format_version": 1, **each}).encode() for each in described]


# -------------------------------------------------------------------------- checkpoints


class _Best(Best):
    """The callback under the name that the kept findings have."""


def _train(path: Path, epochs: int) -> None:
    """Resume, or begin, the training of a checkpoint."""
    x = np.random.default_rng(0).normal(size=(9, 3)).astype("f4")
    model = Sequential(
        Linear(3, 4, seed=1), Dropout(0.2), fastnn.BatchNorm1d(4), Linear(4, 2, seed=2)
    )
    optimizer = fastnn.Adam(model.parameters(), lr=0.1)
    fastnn.fit(
        model, x, np.arange(9) % 2, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer,
        epochs=epochs, batch_size=5, seed=1, checkpoint=path, resume=True, every=9, threads=1,
        callbacks=[_Best(), fastnn.callbacks.EarlyStopping(patience=9)],
        schedule=fastnn.schedules.ExponentialLR(optimizer, 0.9),
    )  # fmt: skip


@cache
def _checkpoint() -> tuple[dict, dict[str, np.ndarray]]:
    """Return description and tensors of a checkpoint after two epochs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        _train(path, 2)
        content = path.read_bytes()
    description = json.loads(split(content)[0]["__metadata__"]["fastnn"])
    del description["checksum"]
    return description, safetensors.numpy.load(content)


def _read_checkpoint(content: bytes, folder: Path) -> None:
    """Resume from a checkpoint whose description is the input, with the right checksum."""
    try:
        packed = container.packed(json.loads(content), _checkpoint()[1])
    except (TypeError, ValueError, RecursionError):
        return  # not JSON, or not an object: the target `description` reads such texts
    path = folder / "run"
    path.write_bytes(packed)
    try:
        _train(path, 3)
    finally:
        path.write_bytes(packed)
        parts_in(path)


def _checkpoint_seeds() -> list[bytes]:
    return [json.dumps(_checkpoint()[0]).encode()]


# --------------------------------------------------------------------- pictures and IDX


def _packed_files() -> dict[str, bytes]:
    """Return the four files of a small data set."""
    images, labels = packed_idx(np.arange(2 * 784).reshape(2, 28, 28)), packed_idx(np.arange(2))
    return dict(zip(idx._FILES, (images, labels) * 2, strict=True))


def _read_idx(content: bytes, folder: Path) -> None:
    """Read a data set with the input as images or labels, and with its packed bytes as images."""
    files = _packed_files()
    train_images, train_labels, *_ = files
    odd = (
        (train_labels, content),
        (train_images, gzip.compress(content, 1)),
        (train_images, content),
    )
    for name, other in odd:
        for each, right in {**files, name: other}.items():
            (folder / each).write_bytes(right)
        with suppress(ValueError):
            idx.read("mnist", folder)


def _idx_seeds() -> list[bytes]:
    plain = list(_packed_files().values())[:2]
    return [*plain, *(gzip.compress(each, mtime=0) for each in plain)]


def _read_picture(content: bytes, folder: Path) -> None:
    Conversion()(content)


def _picture_seeds() -> list[bytes]:
    image = Image.new("RGB", (24, 30), "white")
    ImageDraw.Draw(image).line((3, 5, 18, 22), "black", 3)
    seeds = []
    for mode in ("RGB", "L", "P", "RGBA", "1", "I;16"):
        for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"):
            file = io.BytesIO()
            try:
                (image.convert("L") if mode == "I;16" else image).convert(mode).save(file, kind)
            except (OSError, ValueError, KeyError):
                continue  # not every format has every mode
            seeds.append(file.getvalue())
    return seeds


# ------------------------------------------------------------------------------- tables

_OPTIONS = {"target": "y", "task": None, "impute": True, "drop": [], "categorical": [], "test": 0.2}


def _read_csv(content: bytes, folder: Path) -> None:
    """Read a table whose options, as JSON, are the first line of the input."""
    line, _, table = content.partition(b"\n")
    options = _options(line)
    path = folder / "table.csv"
    path.write_bytes(table)
    open_source(table).table()
    wishes = Wishes(categorical=options.pop("categorical"))
    data = load_table(path, Preparation(wishes=wishes, **options))
    assert data.schema is not None
    assert Schema.from_dict(json.loads(json.dumps(data.schema.to_dict()))) == data.schema
    data.schema.encode(open_source(path))


def _options(line: bytes) -> dict:
    """Return options of the right types, with the default for what a line of JSON lacks."""
    try:
        given = dict(json.loads(line))
    except (TypeError, ValueError, RecursionError):
        given = {}
    options = {name: given.get(name, default) for name, default in _OPTIONS.items()}
    for name in ("drop", "categorical"):
        options[name] = list(map(str, options[name])) if isinstance(options[name], list) else []
    options["target"] = str(options["target"])
    options["task"] = None if options["task"] is None else str(options["task"])
    options["impute"] = bool(options["impute"])
    options["test"] = float(options["test"]) if type(options["test"]) in (int, float) else 0.2
    return options


def _csv_seeds() -> list[bytes]:
    rows = [f'{i},{i % 5}.5,"{"ab c"[i % 4]}",{"" if i == 3 else i},{"no" if i % 2 else "yes"}'
            for i in range(12)]  # fmt: skip
    table = "a,b,kind,c,y\n" + "\n".join(rows) + "\n"
    options = [
        _OPTIONS,
        {**_OPTIONS, "drop": ["kind"], "categorical": ["b"], "test": 0.5},
        {**_OPTIONS, "target": "a", "task": "regression"},
    ]
    numbers = "\n".join(f"{i};{i * 2};{i % 3}" for i in range(9))
    texts = [f"{json.dumps(each)}\n{table}" for each in options]
    packed = [b"\n" + pack(table.encode()) for pack in (gzip.compress, bz2.compress, _zipped)]
    plain = [text.encode() for text in [*texts, json.dumps({"target": "2"}) + "\n" + numbers]]
    return [*plain, *packed, f"\n{_spelled()}".encode()]


def _spelled() -> str:
    """Return a table with numbers and dates in special spellings, and columns of one name."""
    rows = [f'"({i}.000,50 €)";{i}.1.2024 9:05;{i}-;{i % 3}' for i in range(1, 13)]
    return "a;when;a;y\n" + "\n".join(rows) + "\n"


def _zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", content)
    return file.getvalue()


def _read_array(content: bytes, folder: Path) -> None:
    """Read a table of NumPy's, from bytes and from a file."""
    path = folder / "table"
    path.write_bytes(content)
    with suppress(ValueError):
        open_source(content)
    load_table(path, Preparation(open_source(path).names[0]))


def _npy_seeds() -> list[bytes]:
    rows = np.arange(24.0).reshape(8, 3) % 2
    named = np.array([(i, f"n{i % 2}") for i in range(6)], [("a", "f8"), ("b", "U2")])
    return [_saved(np.save, each) for each in (rows, rows.T, rows.astype("u1"), named)]


def _npz_seeds() -> list[bytes]:
    columns = {"a": np.arange(6.0), "b": np.array(list("xyxyxy")), "c": np.ones((6, 2), "i4")}
    return [_saved(save, **columns) for save in (np.savez, np.savez_compressed)]


def _edit_entry(content: bytes, rng: Random) -> bytes:
    """Change bytes of an array within an archive, whose checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(entries))
    entry = bytearray(entries[name])
    for _ in range(rng.choice((1, 1, 2, 8))):
        entry[rng.randrange(min(len(entry), 160))] = rng.choice(b"0189-(),'{}:<fUiOS \0\xff")
    entries[name] = bytes(entry)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for each, data in entries.items():
            archive.writestr(each, data)
    return file.getvalue()


def _saved(save, *arrays, **more) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **more)
    return file.getvalue()


# ------------------------------------------------------------------------------ results


def _read_results(content: bytes, folder: Path) -> None:
    path = folder / "results.jsonl"
    path.write_bytes(content)
    for result in read_results(path):
        Result.from_line(result.to_line())
    ranks = [result.rank for result in read_results(path)]
    max(ranks, default=None)


def _results_seeds() -> list[bytes]:
    one = Result(Settings(dataset="disk"), "finished", 0.5, 0.75, 0.25, 0.5, 1.5, 42)
    two = Result(Settings(dataset="digits", hidden=(4, 5), schedule="cosine"), "diverged")
    lines = f"{one.to_line()}\n", f"{two.to_line()}\n"
    return [line.encode() for line in (*lines, "".join(lines), lines[0] + lines[1][:40])]


def _edit_line(content: bytes, rng: Random) -> bytes:
    whole, newline, rest = content.rpartition(b"\n")
    lines = whole.split(b"\n")
    place = rng.randrange(len(lines))
    lines[place] = _edit_json(lines[place], rng)
    return b"\n".join(lines) + newline + rest


TARGETS = {
    "container": Target(
        _read_container,
        _container_seeds,
        (ModelFileError,),
        edit_header,
    ),
    "description": Target(_read_description, _description_seeds, (ModelFileError,), _edit_json),
    "checkpoint": Target(
        _read_checkpoint,
        _checkpoint_seeds,
        (ModelFileError, fastnn.NonFiniteLossError),
        _edit_json,
    ),
    "idx": Target(_read_idx, _idx_seeds, (ValueError,)),
    "picture": Target(_read_picture, _picture_seeds, (ValueError,), megabytes=800),
    "csv": Target(_read_csv, _csv_seeds, (ValueError,)),
    "npy": Target(_read_array, _npy_seeds, (ValueError,)),
    "npz": Target(_read_array, _npz_seeds, (ValueError,), _edit_entry),
    "results": Target(_read_results, _results_seeds, (SweepFileError,), _edit_line),
}
"""The targets by name."""
