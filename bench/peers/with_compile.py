"""Operations of `torch.compile`: training only."""

from __future__ import annotations

from bench.learners.with_compile import Learner  # first, since it sets torch's cache folder
from bench.peers.training import trainer
from bench.peers.with_torch import VERSIONS, set_threads

OPERATIONS = {"training": trainer(Learner)}

__all__ = ["OPERATIONS", "VERSIONS", "set_threads"]
