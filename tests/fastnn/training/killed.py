"""Trains in processes that are killed and resumed; says how it went, as JSON.

    python killed.py FOLDER KILLS SEED

A process of its own that forks: a child needs no second to begin, and this one holds no threads.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import signal
import sys
import time

import numpy as np

import fastnn
from fastnn.files import container

EPOCHS, EVERY = 24, 2
STEPS = ("half", "written", "synced", "replaced", "folder")
"""Moments of a save at which a process can be killed."""


class Best(fastnn.Callback):
    """A callback with a state: the epoch with the lowest loss, and its weights."""

    def __init__(self):
        self.loss, self.weights = float("inf"), {}

    def on_epoch_end(self, training):
        if training.history.val_loss[-1] < self.loss:
            self.loss, self.weights = training.history.val_loss[-1], training.model.state_dict()

    def state_dict(self):
        return {"loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state):
        self.loss, self.weights = state["loss"], state["weights"]


def train(path, optimizer="Adam"):
    """Train to the end, from where the checkpoint is; give a digest of all that came of it."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(150, 7)).astype("f4"), rng.integers(0, 3, 150)
    model = fastnn.Sequential(
        fastnn.Linear(7, 16, seed=1), fastnn.BatchNorm1d(16), fastnn.ReLU(), fastnn.Dropout(0.3),
        fastnn.Linear(16, 3, seed=2),
    )  # fmt: skip
    options = {"momentum": 0.9} if optimizer == "SGD" else {}
    made = getattr(fastnn, optimizer)(model.parameters(), lr=0.01, clip_norm=1.0, **options)

    def halve(training):
        training.optimizer.lr *= 0.97

    best = Best()
    history = fastnn.fit(
        model, x, y, loss=fastnn.CrossEntropyLoss(), optimizer=made, epochs=EPOCHS, batch_size=16,
        seed=3, validation_data=(x, y), callbacks=[halve, best], threads=1,
        checkpoint=path, every=EVERY, resume=True,
    )  # fmt: skip
    digest = hashlib.sha256()
    for state in (model.state_dict(), best.weights):
        for name, array in state.items():
            digest.update(name.encode() + array.tobytes())
    state = made.state_dict()
    for array in [state["settings"], *(each for arrays in state["memory"] for each in arrays)]:
        digest.update(array.tobytes())
    numbers = [state["steps"], model[3].drawn, best.loss, history.loss, history.accuracy,
               history.val_loss, history.val_accuracy]  # fmt: skip
    digest.update(repr(numbers).encode())
    return digest.hexdigest()


def die_in_save(step, saves):
    """Have this process kill itself at a step of one of its saves."""
    left = [saves]

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def at(here):
        if here == step:
            left[0] -= 1
            if left[0] <= 0:
                die()

    opened, fsync, replace = pathlib.Path.open, os.fsync, os.replace

    class Halved:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            if step == "half":
                self.file.write(content[: len(content) // 2])
                self.file.flush()
                at("half")
                self.file.seek(0)
            self.file.write(content)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

    def open_halved(path, mode="r", *rest, **options):
        file = opened(path, mode, *rest, **options)
        return Halved(file) if mode == "xb" else file

    def sync(descriptor):
        folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        at("folder" if folder else "written")
        fsync(descriptor)
        at("" if folder else "synced")

    def rename(*names):
        replace(*names)
        at("replaced")

    pathlib.Path.open, os.fsync, os.replace = open_halved, sync, rename


def in_child(job):
    """Run a function in a child; give its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        job()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(code)


def main(folder, kills, seed):
    rng = np.random.default_rng(seed)
    folder = pathlib.Path(folder)
    expected = train(folder / "whole.safetensors")  # compiles, too
    started = time.perf_counter()
    assert train(folder / "again.safetensors") == expected
    whole = time.perf_counter() - started
    path, result = folder / "run.safetensors", folder / "result"
    done = {"kills": 0, "in saves": 0, "resumed": 0, "wrong": [], "failed": 0}
    over = False
    while not over:  # after the last one that is killed, one that cleans up behind it
        result.unlink(missing_ok=True)
        before = path.exists()
        in_save = done["kills"] < kills and rng.random() < 0.5
        step, saves = str(rng.choice(STEPS)), int(rng.integers(1, EPOCHS // EVERY + 1))

        def job(in_save=in_save, step=step, saves=saves):
            if in_save:
                die_in_save(step, saves)
            result.write_text(train(path))

        child = in_child(job)
        if not in_save and done["kills"] < kills:
            time.sleep(rng.uniform(0, 1.2 * whole))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            done["kills"] += 1
            done["in saves"] += in_save
            if path.exists():
                assert container.read(path).checked  # it raises for half a file
            continue
        done["failed"] += os.waitstatus_to_exitcode(status) != 0
        done["resumed"] += before
        if not result.exists() or result.read_text() != expected:
            done["wrong"].append([step, saves])
        path.unlink(missing_ok=True)
        over = done["kills"] >= kills
    result.unlink(missing_ok=True)
    done["left"] = sorted(each.name for each in folder.iterdir())
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
