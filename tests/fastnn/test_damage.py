"""Files damaged or made up in every way we can think of: refused with one clear error, or harmless.

`load` reads models, `fit(resume=True)` checkpoints. Damage done blindly must be seen, or change
nothing; a header or a description that somebody wrote on purpose, with a right checksum, may make
another model, but never another error, a crash, or memory taken without end.
"""

import json
import random
from functools import partial

import numpy as np
import pytest

import fastnn
from best_weights import Best
from fastnn import Dropout, Linear, Normalize, ReLU, Sequential, Tanh
from fastnn.files import container
from fastnn.files.container import ModelFileError
from made_up import assembled, edit_header, edited, split

FAST, SLOW = 150, 11_000


# ---------------------------------------------------------------- damage done blindly


def flip_bits(content, rng):
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def overwrite(content, rng):
    start = rng.randrange(len(content))
    length = min(rng.choice((1, 4, 64, 4096)), len(content) - start)
    filler = rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length))
    return content[:start] + filler + content[start + length :]


def cut(content, rng):
    return content[: rng.randrange(len(content))]


def remove(content, rng):
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.choice((1, 8, 64, 1000)) :]


def insert(content, rng):
    start = rng.randrange(len(content) + 1)
    return content[:start] + rng.randbytes(rng.choice((1, 8, 64))) + content[start:]


def repeat(content, rng):
    start = rng.randrange(len(content))
    part = content[start : start + rng.choice((1, 8, 64, 1000))]
    return content[:start] + part + content[start:]


def swap(content, rng):
    size = 64
    one, other = (rng.randrange(max(1, len(content) - size)) for _ in range(2))
    damaged = bytearray(content)
    damaged[one : one + size], damaged[other : other + size] = (
        content[other : other + size],
        content[one : one + size],
    )
    return bytes(damaged[: len(content)])


def resize_header(content, rng):
    """Another length of the header: too long, far too long, or not enough."""
    true = int.from_bytes(content[:8], "little")
    length = rng.choice(
        (0, 1, true - 1, true + 1, true + 8, len(content), len(content) - 8, 10**8, 10**8 + 1,
         2**31, 2**32, 2**63, 2**64 - 1, rng.randrange(2**64), rng.randrange(len(content)))
    )  # fmt: skip
    return length.to_bytes(8, "little") + content[8:]


BLIND = (flip_bits, overwrite, cut, remove, insert, repeat, swap, resize_header)


# ---------------------------------------------------------------- files made up on purpose


def edit_description(content, rng, keep_checksum=0.3):
    """Another description, with the old checksum, none, or the right one."""
    header, data = split(content)
    description = json.loads(header["__metadata__"]["fastnn"])
    checksum = description.pop("checksum")
    description = edited(description, rng)
    kind = rng.random()
    if isinstance(description, dict) and kind < 0.1:
        description["checksum"] = checksum
    elif isinstance(description, dict) and kind < 0.7:
        tensors = container._tensors(content)
        description["checksum"] = container._checksum(description, tensors)
    header["__metadata__"]["fastnn"] = json.dumps(description)
    return assembled(header, data)


def edit_tensors(content, rng):
    """Other arrays under the same names, with the right checksum."""
    tensors = container._tensors(content)
    header, _ = split(content)
    description = json.loads(header["__metadata__"]["fastnn"])
    del description["checksum"]
    name = rng.choice(sorted(tensors))
    array = np.nan_to_num(tensors[name])
    tensors[name] = rng.choice(
        (array[:0], array.reshape(-1), array.astype("f8"), array.view("u1"), array.T,
         array[..., None],
         np.full_like(array, rng.choice((0, 1, 127))), array.astype("?"), np.zeros((), array.dtype))
    )  # fmt: skip
    if rng.random() < 0.2:
        tensors[rng.choice(("x", "0.weight", "training.x", "9.weight"))] = tensors.pop(name)
    return container.packed(description, tensors)


MADE = (edit_header, edit_description, edit_description, edit_description, edit_tensors)


# ---------------------------------------------------------------- what is tested with them


def model():
    made = Sequential(
        Normalize([0.5, 0.1, -2.0], [1.0, 2.0, 0.5]), Linear(3, 6, seed=1), Tanh(),
        Dropout(0.2, seed=3),
        Sequential(ReLU(), Linear(6, 2, seed=2)),
    )  # fmt: skip
    made.classes = ("no", "yes")
    return made


def resume(path, epochs, parts=None):
    """Train to so many epochs; give the parts and what they hold as bytes."""
    x = np.random.default_rng(0).normal(size=(9, 3)).astype("f4")
    made, optimizer = parts or training_parts()
    fastnn.fit(
        made, x, np.arange(9) % 2, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer,
        epochs=epochs, batch_size=4, seed=1, callbacks=[Best()], checkpoint=path, resume=True,
        schedule=fastnn.schedules.ExponentialLR(optimizer, 0.9),
    )  # fmt: skip
    return bits(made, optimizer)


def training_parts():
    made = model()
    return made, fastnn.SGD(made.parameters(), lr=0.1, momentum=0.9)


def bits(made, optimizer):
    state = optimizer.state_dict()
    memory = [each.tobytes() for arrays in state["memory"] for each in arrays]
    weights = [(name, array.tobytes()) for name, array in made.state_dict().items()]
    return weights, memory, state["steps"], state["settings"].tobytes(), made[3].drawn


def refusal(path, call):
    """The message with which a file is refused, which is one line that names it; or the result."""
    try:
        return None, call()
    except ModelFileError as error:
        message = str(error)
        assert message.startswith(f"{path}: found")
        assert "\n" not in message
        return message, None


def damaged_models(path, count, seed):
    fastnn.save(model(), path)
    content, rng, refused = path.read_bytes(), random.Random(seed), 0
    expected = [array.tobytes() for array in model().state_dict().values()]
    for number in range(count):
        change = (BLIND + MADE)[number % len(BLIND + MADE)]
        path.write_bytes(change(content, rng))
        message, loaded = refusal(path, partial(fastnn.load, path))
        if message is not None:
            refused += 1
        elif change in BLIND:
            assert [array.tobytes() for array in loaded.state_dict().values()] == expected
            assert repr(loaded) == repr(model())
    assert refused > 0.75 * count


def damaged_checkpoints(path, count, seed):
    whole = resume(path, 2)
    content, rng, refused = path.read_bytes(), random.Random(seed), 0
    for number in range(count):
        change = (BLIND + MADE)[number % len(BLIND + MADE)]
        damaged = change(content, rng)
        path.write_bytes(damaged)
        parts = training_parts()
        before = bits(*parts)
        with np.errstate(all="ignore"):
            try:
                message, found = refusal(path, partial(resume, path, 2, parts))
            except fastnn.NonFiniteLossError:  # a made-up rate of learning may be anything
                assert change in MADE
                continue
        if message is not None:
            refused += 1
            after = bits(*parts)
            assert after[:3] == before[:3]
            assert path.read_bytes() == damaged
        elif change in BLIND:
            assert found == whole
    assert refused > 0.75 * count


@pytest.mark.parametrize("test", [damaged_models, damaged_checkpoints])
def test_damaged_files(test, tmp_path):
    test(tmp_path / "file", FAST, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("test", [damaged_models, damaged_checkpoints])
def test_many_damaged_files(test, tmp_path):
    test(tmp_path / "file", SLOW, seed=1)
