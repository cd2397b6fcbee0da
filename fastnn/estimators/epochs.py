"""Compiled epochs with scikit-learn's definitions of weight decay, Adam and sample weights."""

from __future__ import annotations

import numpy as np

from fastnn.compiler.cost import step_work, threads_for
from fastnn.compiler.lowered import Lowered
from fastnn.compiler.program import TrainingProgram
from fastnn.compiler.runner import Runner
from fastnn.compiler.source import Source, Timetable
from fastnn.estimators.network import Network, poisson_constant
from fastnn.optim.optimizers import Adam
from kernels.functions import updates


class _Epsilons:
    """Values of Adam's epsilon at successive steps: epsilon / sqrt(1 - beta2^t)."""

    _AHEAD = 512  # computed at a time

    def __init__(self, optimizer: Adam):
        self._optimizer, self._epsilon = optimizer, optimizer.eps
        self._basis: tuple[float, ...] = ()
        self._first, self._table = 0, np.empty(0)

    def next(self, count: int) -> np.ndarray:
        """Return the values of the next `count` steps."""
        steps, basis = self._optimizer.steps, (self._epsilon, self._optimizer.beta2)
        begin = steps - self._first
        if basis != self._basis or not 0 <= begin <= len(self._table) - count:
            bias = 1.0 - basis[1] ** (steps + 1 + np.arange(max(count, self._AHEAD)))
            self._first, self._basis, begin = steps, basis, 0
            self._table = self._epsilon / np.sqrt(bias)
        return self._table[begin : begin + count]

    def follow(self, last: float) -> None:
        """Take over an epsilon that a callback has set since a batch with the epsilon `last`."""
        if self._optimizer.eps != last:
            self._epsilon = self._optimizer.eps

    def restore(self) -> None:
        """Set the optimizer's epsilon to its original value."""
        self._optimizer.eps = self._epsilon


class Epochs(Lowered):
    """Epochs of training, one call each, with scikit-learn's definitions.

    The penalty of a batch is alpha / 2 * |W|^2 divided by its number of samples, or by the sum of
    their weights. Three settings therefore change from batch to batch: the weight decay, Adam's
    epsilon, which scikit-learn adds before the bias correction, and the sample weights, which
    scikit-learn scales to a mean of 1 in each batch. There will be at most `most` epochs.
    """

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        batch: int,
        alpha: float,
        threads: int | None,
        most: int,
    ):
        samples, optimizer = len(x), network.optimizer
        self._network, self._alpha, self._weights = network, alpha, weights
        self.model = network.model
        self.order, self._places = np.arange(samples), np.arange(samples)
        self._draw = np.empty(samples, np.int64)
        shares = None if weights is None else np.ones(samples, network.dtype)
        self._source = Source(x, network.targets(y), self.order, shares)
        self._starts = np.arange(0, samples, batch)
        self._counts = np.diff(self._starts, append=samples)
        places, self._epsilons = [updates.WEIGHT_DECAY], None
        if isinstance(optimizer, Adam):
            places.append(updates.EPSILON)
            self._epsilons = _Epsilons(optimizer)
        self._settings = np.empty((len(self._starts), len(places)))
        self._settings[:, 0] = alpha / self._counts
        self._timetable, self._batch = Timetable(tuple(places), self._settings), batch
        steps = most * len(self._starts)
        self._threads = threads_for(step_work(network.model, batch), threads, steps)
        self._done, self._last_epsilon = 0, getattr(optimizer, "eps", 0.0)
        self.lower()
        self._constants = self._find_constants(y)

    def _find_constants(self, y: np.ndarray) -> np.ndarray | None:
        """Return the constant to add to the loss of each sample, or None."""
        if self._network.out_activation != "exp":
            return None
        return poisson_constant(np.asarray(y, np.float64)).sum(axis=1)

    def _basis(self) -> list:
        """Return all that the program fixes, with the counts from which it started."""
        network = self._network
        counts = [network.optimizer.steps, *(each.drawn for each in network.dropouts)]
        fixed = [repr(network.loss), network.optimizer.clip_norm]
        return [*fixed, *(count - self._done for count in counts)]

    def _make(self) -> Runner:
        network = self._network
        network.check_layers()
        if network.optimizer.clip_norm is not None:
            raise ValueError("a callback set clip_norm; an estimator's gradients are not clipped")
        program = TrainingProgram(
            network.model,
            network.loss,
            network.optimizer,
            self._source,
            self._batch,
            network.dtype,
            self._timetable,
            self._threads,
            penalising=True,
        )
        self._done = 0
        return Runner(program, len(self.order))

    @property
    def threads(self) -> int:
        """Number of threads that run the epochs."""
        return self._threads

    def take(self, x: np.ndarray, y: np.ndarray) -> None:
        """Replace the samples, which have no weights, by as many others."""
        assert self._source.y is not None
        self._source.x[:], self._source.y[:] = x, self._network.targets(y)
        self.order[:], self._constants = self._places, self._find_constants(y)
        self.renew()

    @property
    def batches(self) -> int:
        """Number of batches of an epoch."""
        return len(self._starts)

    def shuffle(self, random_state) -> None:
        """Shuffle the order as `sklearn.utils.shuffle` does, which gives the same batches."""
        self._draw[:] = self._places
        random_state.shuffle(self._draw)
        self.order[:] = self.order[self._draw]

    def renew(self) -> None:
        """Make the next epoch read the model again, because callbacks may change it."""
        if self._epsilons is not None:
            self._epsilons.follow(self._last_epsilon)
        self.refresh()
        self.runner.renew()

    def run(self) -> float | None:
        """Train an epoch in the order of `order`; return its loss.

        Returns None if the loss or a weight became infinite or NaN.
        """
        network, runner, penalties = self._network, self.runner, self.runner.program.penalties
        network.optimizer.settings[updates.GRADIENT_SCALE] = network.gradient_scale
        runner.totals[:] = 0
        penalties[:] = 0
        if self._weights is not None:
            self._weigh(self._weights[self.order])
        before = self._done
        if self._epsilons is not None:
            self._settings[:, 1] = self._epsilons.next(self.batches)
        try:
            for _ in runner.slices():
                pass
        finally:
            if not runner.deliver():
                runner.rewind()
            self._done = runner.ticks
            network.optimizer.steps += self._done - before
            for layer in network.dropouts:
                layer.drawn += self._done - before
            self._last_epsilon = getattr(network.optimizer, "eps", 0.0)
        if self._done - before < self.batches:
            return None
        total = runner.totals[0] * network.loss_scale + penalties.sum()
        if self._constants is not None:
            shares = self._source.weights
            total += self._constants.sum() if shares is None else self._constants @ shares
        return float(total) / len(self.order)

    def _weigh(self, weights: np.ndarray) -> None:
        """Divide weights, in the order of the epoch, by their means in batches."""
        sums = np.add.reduceat(weights, self._starts)
        # A batch whose weights are all 0 has no gradient and no penalty.
        inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        self._settings[:, 0] = self._alpha * inverse
        assert self._source.weights is not None
        self._source.weights[self.order] = weights * np.repeat(inverse * self._counts, self._counts)

    def close(self) -> None:
        """End the threads, and restore Adam's epsilon."""
        if self._epsilons is not None:
            self._epsilons.restore()
        super().close()
