"""scikit-learn: training only."""

from __future__ import annotations

import sklearn
from threadpoolctl import threadpool_limits

from bench.learners.with_sklearn import Learner
from bench.peers.training import trainer

VERSIONS = {"scikit-learn": sklearn.__version__}


def set_threads(count: int | None) -> None:
    """Let BLAS use so many threads."""
    threadpool_limits(count)


OPERATIONS = {"training": trainer(Learner)}
