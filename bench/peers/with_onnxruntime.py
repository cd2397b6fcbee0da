"""Operations of ONNX Runtime: predictions of graphs that fastnn writes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import fastnn
from bench import data
from bench.chains import chain_of
from bench.peers import Case

VERSIONS = {"onnxruntime": onnxruntime.__version__}

_threads: int | None = None


def set_threads(count: int | None) -> None:
    """Set the number of threads of the sessions that are used next."""
    global _threads
    _threads = count


class _Sessions:
    """Sessions of one graph, one for each number of threads."""

    def __init__(self, content: bytes):
        self._content = content
        self._of: dict[int | None, onnxruntime.InferenceSession] = {}

    def current(self) -> onnxruntime.InferenceSession:
        """Return the session with the number of threads that is set."""
        if _threads not in self._of:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = _threads or 0
            options.add_session_config_entry("session.intra_op.allow_spinning", "1")
            self._of[_threads] = onnxruntime.InferenceSession(self._content, options)
        return self._of[_threads]


def predict(sizes: list[int], rows: int) -> Case:
    """Return the case of a prediction from a NumPy array."""
    x, layers = data.network(sizes, rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        fastnn.to_onnx(chain_of(layers), path)
        sessions = _Sessions(path.read_bytes())
    feed = {"x": x}

    def call() -> np.ndarray:
        return sessions.current().run(None, feed)[0]

    return Case(call, lambda: {"sum": data.checksum(call())})


OPERATIONS = {"predict": predict}
