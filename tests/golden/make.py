"""Make the golden files of this version: models, checkpoints, and what must come of them.

    python -m tests.golden.make [FOLDER]

The folder is in `tests/golden` and named after the version; it must not exist, because files of an
earlier version are never made again. Run it for each release, and commit the folder.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "helpers")]

from golden_runs import (  # noqa: E402
    F32,
    F64,
    HERE,
    ROWS,
    TABLES,
    TRAININGS,
    chain_on_bytes,
    data,
    layers_of_every_kind,
    outputs_of,
    run,
)

import fastnn  # noqa: E402
from command_line import run as command  # noqa: E402
from fastnn import Linear, Sequential, datasets  # noqa: E402
from fastnn.files import container  # noqa: E402


def main() -> None:
    """Make the folder, and say how large it is."""
    folder = HERE / (sys.argv[1] if len(sys.argv) > 1 else fastnn.__version__)
    folder.mkdir()
    make_models(folder)
    make_checkpoints(folder)
    alter(folder)
    record(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(list(folder.iterdir()))} files, {size:,} bytes")


# ------------------------------------------------------------------------------- models


def _train(model, x, y, loss, epochs=3):
    optimizer = fastnn.Adam(model.parameters(), 0.01)
    fastnn.fit(
        model, x, y, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=16, seed=3, threads=1
    )


def make_models(folder: Path) -> None:
    """Save trained models with every layer, names of classes, and schemas."""
    y = data()["y"][:ROWS]
    for d in (F32, F64):
        model = Sequential(*layers_of_every_kind(d))
        _train(model, data()["x"][:ROWS], y, fastnn.NLLLoss())
        model.classes = ("one", "two words", "dréi")
        fastnn.save(model, folder / f"every-{d.name}.safetensors")
    model = Sequential(*chain_on_bytes(F32))
    _train(model, data()["bytes"][:ROWS], y, fastnn.CrossEntropyLoss(label_smoothing=0.1))
    fastnn.save(model, folder / "bytes-float32.safetensors")

    digits = datasets.load("digits", subset=300)
    model = Sequential(
        fastnn.Normalize(digits.mean, digits.std), Linear(64, 10, seed=4), fastnn.ReLU(),
        Linear(10, 10, seed=5),
    )  # fmt: skip
    _train(model, digits.x_train, digits.y_train, fastnn.CrossEntropyLoss())
    model.classes, model.schema = digits.classes, digits.schema
    fastnn.save(model, folder / "digits.safetensors")
    for name, target, drop, group, d in (
        ("table-kind", "kind", ["price"], None, F32),
        ("table-price", "price", ["kind"], None, F64),
        ("table-kinds", "price", [], "shop", F32),
    ):
        model = _of_table(TABLES[name], target, drop, group, d)
        fastnn.save(model, folder / f"{name}.safetensors")


def _of_table(path: Path, target: str, drop: list[str], group: str | None, d) -> Sequential:
    """Return a model of a table's target."""
    table = datasets.load(path, target=target, drop=drop, group=group, dtype=d)
    model = Sequential(
        fastnn.Normalize(table.mean, table.std, d),
        Linear(table.x_train.shape[1], 8, dtype=d, seed=6), fastnn.SiLU(),
        Linear(8, len(table.classes) or 1, dtype=d, seed=7),
    )  # fmt: skip
    model.schema, model.classes = table.schema, table.classes
    y, loss = table.y_train, fastnn.CrossEntropyLoss()
    if not table.classes:
        of = table.schema.target
        y, loss = (y - of.mean) / of.std, fastnn.MSELoss()
    _train(model, table.x_train, y, loss, epochs=8)
    return model


# -------------------------------------------------------------------------- checkpoints


def make_checkpoints(folder: Path) -> None:
    """Write the checkpoints of trainings that were stopped."""
    for name, (*_, epochs) in TRAININGS.items():
        run(name, folder / f"{name}.ckpt", epochs, kill=3 if epochs > 2 else epochs + 1)


# ---------------------------------------------------------------------- altered by hand


def _extra(tree):
    """Return a description with keys that nobody knows, but not among arguments or states."""
    if isinstance(tree, list):
        return [_extra(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    fixed = "class" not in tree and "model" not in tree
    inner = {key: each if key == "arguments" else _extra(each) for key, each in tree.items()}
    return inner if fixed else {"unknown": [1, {"a": None}], **inner}


def _reordered(tree):
    """Return a description whose keys have the opposite order."""
    if isinstance(tree, list):
        return [_reordered(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    return {key: _reordered(tree[key]) for key in reversed(tree)}


def _lean(tree):
    """Return a description without what has a default."""
    if isinstance(tree, list):
        return [_lean(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    usual = {"bias": True, "eps": 1e-5, "classes": [], "affine": True, "track_running_stats": True}
    return {
        key: _lean(each) for key, each in tree.items() if key not in usual or usual[key] != each
    }


ALTERATIONS = {"extra": _extra, "reordered": _reordered, "lean": _lean}
"""Changes of a description that leave the model the same."""


def alter(folder: Path) -> None:
    """Write files whose descriptions somebody changed, with the right checksum or none."""
    for name, alterations in (
        ("every-float32.safetensors", ("lean", "extra")),
        ("table-price.safetensors", ("lean", "extra", "reordered")),
        ("adamw-float32.ckpt", ("extra", "reordered")),
    ):
        content = container.read(folder / name)
        stem, _, ending = name.partition(".")
        for how in alterations:
            change = ALTERATIONS[how]
            packed = container.packed(change(content.description), content.tensors)
            (folder / f"{stem}.{how}.{ending}").write_bytes(packed)
    altered = folder / "table-price.unchecked.safetensors"
    altered.write_bytes(_unchecked(folder / "table-price.safetensors"))


def _unchecked(path: Path) -> bytes:
    """Return a model file without its checksum, and with the header spread over lines."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header["__metadata__"]["fastnn"])
    del description["checksum"]
    header["__metadata__"] = {"fastnn": json.dumps(description, indent=1), "by": "hand"}
    text = json.dumps(header, indent=1).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


# ------------------------------------------------------------------------- what is expected


def record(folder: Path) -> None:
    """Write what comes of the files of a folder: outputs, histories, and the command's words."""
    expected = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name.count(".") == 1:
            expected[path.stem] = outputs_of(path)
        if path.stem in TABLES:
            done = command("predict", path, TABLES[path.stem], "--out", "-")
            path.with_suffix(".csv").write_text(done.stdout)
    for path in sorted(folder.glob("*.ckpt")):
        if path.name.count(".") == 1:
            with tempfile.TemporaryDirectory() as temporary:
                copy = shutil.copy(path, temporary)
                found = run(path.stem, Path(copy), epochs=4)
            expected |= {f"{path.stem}.{key}": array for key, array in found.items()}
    np.savez_compressed(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main()
