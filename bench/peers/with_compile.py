"""`torch.compile` of what `bench.peers.with_torch` does, compiled anew in every process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import partial

_CACHE = tempfile.mkdtemp(prefix="bench-inductor-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ["TORCHINDUCTOR_CACHE_DIR"] = _CACHE  # read when torch is imported

import torch  # noqa: E402
import torch._inductor.config as inductor  # noqa: E402

from bench.peers import with_torch  # noqa: E402
from bench.peers.with_torch import set_threads  # noqa: E402

inductor.cpp.dynamic_threads = True  # what is compiled once runs on any number

VERSIONS = with_torch.VERSIONS


def training(**settings):
    """Epochs of training a workload; a batch's loss and gradient are compiled."""
    torch._dynamo.reset()
    return with_torch.training(compiled=partial(torch.compile, dynamic=False), **settings)


OPERATIONS = {"training": training}

__all__ = ["OPERATIONS", "VERSIONS", "set_threads"]
