"""PyTorch with the loss compiled by `torch.compile`, anew in every process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_CACHE = tempfile.mkdtemp(prefix="bench-inductor-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ["TORCHINDUCTOR_CACHE_DIR"] = _CACHE  # read when torch is imported

import torch  # noqa: E402
import torch._inductor.config as inductor  # noqa: E402

from bench.data import Samples  # noqa: E402
from bench.learners import with_torch  # noqa: E402
from bench.workloads import Workload  # noqa: E402

inductor.cpp.dynamic_threads = True  # one compiled function runs on any number


class Learner(with_torch.Learner):
    """`torch.compile`'s `bench.learners.Learner`."""

    compiles = True

    def __init__(self, workload: Workload, samples: Samples, threads: int | None = None):
        super().__init__(workload, samples, threads)
        torch._dynamo.reset()
        self.loss_of = torch.compile(self._loss_of, dynamic=False)
