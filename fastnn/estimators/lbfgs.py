"""The solver `lbfgs`: scipy's L-BFGS-B over all parameters as one flat vector."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result
from threadpoolctl import ThreadpoolController

from fastnn.compiler.cost import step_work, threads_for
from fastnn.compiler.lowered import Lowered
from fastnn.compiler.program import TrainingProgram
from fastnn.compiler.runner import Runner
from fastnn.compiler.source import Source
from fastnn.estimators.network import Network, poisson_constant
from fastnn.optim.optimizers import SGD
from fastnn.training.callbacks.callback import listeners, notify
from fastnn.training.history import History
from fastnn.training.training import Training


class Objective(Lowered):
    """Objective function: loss of all samples, and its gradient, for a flat parameter vector."""

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        alpha: float,
        threads: int | None,
    ):
        samples = len(x)
        shares, mass = None, float(samples)
        if weights is not None:
            mass = float(weights.sum())
            shares = (weights * (samples / mass)).astype(network.dtype)
        self._source = Source(x, network.targets(y), np.arange(samples), shares)
        self._network, self._samples, self.model = network, samples, network.model
        network.optimizer = SGD(network.model.parameters(), lr=0.0)
        self._threads = threads_for(step_work(network.model, samples), threads)
        self._parameters = list(network.model.parameters())
        self._spans = [each.span for each in self._parameters]
        self._ends, self._shrinking = np.cumsum(self._spans), alpha / mass
        self.lower()
        self._constant = 0.0
        if network.out_activation == "exp":
            rows = poisson_constant(np.asarray(y, np.float64)).sum(axis=1)
            self._constant = float(np.average(rows, weights=weights))

    def _basis(self) -> list:
        return [repr(self._network.loss)]

    def _make(self) -> Runner:
        network, samples = self._network, self._samples
        network.check_layers()
        decays = [self._shrinking if each.decays else 0.0 for each in self._parameters]
        self._decay = np.repeat(decays, self._spans)
        program = TrainingProgram(
            network.model,
            network.loss,
            network.optimizer,
            self._source,
            samples,
            network.dtype,
            threads=self._threads,
            updates=False,
        )
        return Runner(program, samples)

    def read(self) -> np.ndarray:
        """Return the parameters as a flat vector, float64."""
        return np.concatenate([each.memory for each in self._parameters]).astype(np.float64)

    def write(self, flat: np.ndarray) -> None:
        """Copy a flat vector into the parameters."""
        with np.errstate(over="ignore"):
            for each, part in zip(self._parameters, np.split(flat, self._ends), strict=False):
                each.memory[:] = part

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Return loss and gradient; an infinite loss if it is not finite."""
        runner = self.runner
        self.write(flat)
        runner.totals[:] = 0
        runner.renew()
        if not runner.run(0, 1):
            runner.rewind()
            return np.inf, np.zeros_like(flat)
        shrink = self._decay * flat
        loss = runner.totals[0] * self._network.loss_scale / self._samples + self._constant
        slopes = np.concatenate([each.gradient_memory for each in self._parameters])
        gradient = slopes * np.float64(self._network.gradient_scale) + shrink
        return float(loss + 0.5 * (shrink @ flat)), gradient


@cache
def _libraries() -> ThreadpoolController:
    """Return the controller of BLAS threads, cached because the search takes milliseconds."""
    return ThreadpoolController()


def minimize(estimator, network: Network, x, y, weights) -> None:
    """Fit a network to all samples at once; set `loss_` and `n_iter_` of the estimator.

    Where a callback changes the model, the search begins anew from there.
    """
    objective = Objective(network, x, y, weights, estimator.alpha, estimator.threads)
    callbacks = listeners(estimator.callbacks or ())
    training = Training(network.model, network.loss, network.optimizer, History())
    training.epochs, training.batches, training.batch = int(estimator.max_iter), 1, 1
    started, changed, evaluations = time.perf_counter(), False, 0

    def after(intermediate_result) -> None:
        nonlocal started, changed
        training.epoch += 1
        if estimator.verbose:
            print(f"Iteration {training.epoch}, loss = {intermediate_result.fun:.8f}")
        if callbacks:
            objective.write(intermediate_result.x)
            seconds, started = time.perf_counter() - started, time.perf_counter()
            training.history.add(loss=float(intermediate_result.fun), seconds=seconds)
            before = objective.read()
            notify(callbacks, "on_epoch_end", training)
            changed = objective.refresh() or not np.array_equal(objective.read(), before)
        if changed or training.stop:
            raise StopIteration

    def search():
        nonlocal evaluations
        found = scipy.optimize.minimize(
            objective,
            objective.read(),
            method="L-BFGS-B",
            jac=True,
            callback=after if callbacks or estimator.verbose else None,
            options={
                "maxfun": estimator.max_fun - evaluations,
                "maxiter": estimator.max_iter - training.epoch,
                "gtol": estimator.tol,
            },
        )
        evaluations += found.nfev
        return found

    def may_go_on() -> bool:
        more = training.epoch < estimator.max_iter and evaluations < estimator.max_fun
        return more and not training.stop

    notify(callbacks, "on_train_begin", training)
    try:
        # BLAS threads spin between calls, on the cores that compute the loss.
        with _libraries().limit(limits=1, user_api="blas"):
            earlier, result = 0, search()
            while changed and may_go_on():
                changed, earlier = False, training.epoch
                result = search()  # sets `changed`
        if not changed:
            objective.write(result.x)
    finally:
        objective.close()
        notify(callbacks, "on_train_end", training)
    if training.stop or changed:
        estimator.n_iter_ = earlier + int(result.nit)
    else:
        estimator.n_iter_ = earlier + _check_optimize_result("lbfgs", result, estimator.max_iter)
    estimator.loss_ = result.fun
