"""The solver `lbfgs`: scipy's L-BFGS-B over the flat buffer of all parameters."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result
from threadpoolctl import ThreadpoolController

from fastnn.compiler.cost import step_work, threads_for
from fastnn.compiler.program import TrainingProgram
from fastnn.compiler.runner import Runner
from fastnn.compiler.source import Source
from fastnn.estimators.network import Network, poisson_constant
from fastnn.optim.optimizers import SGD
from fastnn.training.callbacks.callback import listeners, notify
from fastnn.training.history import History
from fastnn.training.training import Training


class Objective:
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
        source = Source(x, network.targets(y), np.arange(samples), shares)
        self._network, self._samples = network, samples
        network.optimizer = SGD(network.model.parameters(), lr=0.0)
        program = TrainingProgram(
            network.model,
            network.loss,
            network.optimizer,
            source,
            samples,
            network.dtype,
            threads=threads_for(step_work(network.model, samples), threads),
            updates=False,
        )
        self._runner = Runner(program, samples)
        first = next(network.model.parameters())
        self.block, self._gradient = first.block, first.gradient_block
        self._decay = np.zeros(self.block.size)
        for weight in network.weights:
            self._decay[weight.start : weight.start + weight.span] = alpha / mass
        self._constant = 0.0
        if network.out_activation == "exp":
            rows = poisson_constant(np.asarray(y, np.float64)).sum(axis=1)
            self._constant = float(np.average(rows, weights=weights))

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Return loss and gradient; an infinite loss if it is not finite."""
        runner = self._runner
        with np.errstate(over="ignore"):
            self.block[:] = flat
        runner.totals[:] = 0
        runner.renew()
        if not runner.run(0, 1):
            runner.rewind()
            return np.inf, np.zeros_like(flat)
        shrink = self._decay * flat
        loss = runner.totals[0] * self._network.loss_scale / self._samples + self._constant
        gradient = self._gradient * np.float64(self._network.gradient_scale) + shrink
        return float(loss + 0.5 * (shrink @ flat)), gradient

    def close(self) -> None:
        """End the threads."""
        self._runner.__exit__(None, None, None)


@cache
def _libraries() -> ThreadpoolController:
    """Return the controller of BLAS threads, cached because the search takes milliseconds."""
    return ThreadpoolController()


def minimize(estimator, network: Network, x, y, weights) -> None:
    """Fit a network to all samples at once; set `loss_` and `n_iter_` of the estimator."""
    objective = Objective(network, x, y, weights, estimator.alpha, estimator.threads)
    callbacks = listeners(estimator.callbacks or ())
    training = Training(network.model, network.loss, network.optimizer, History())
    training.epochs, training.batches, training.batch = estimator.max_iter, 1, 1
    started = time.perf_counter()

    def after(intermediate_result) -> None:
        nonlocal started
        training.epoch += 1
        if estimator.verbose:
            print(f"Iteration {training.epoch}, loss = {intermediate_result.fun:.8f}")
        if callbacks:
            objective.block[:] = intermediate_result.x
            seconds, started = time.perf_counter() - started, time.perf_counter()
            training.history.add(loss=float(intermediate_result.fun), seconds=seconds)
            notify(callbacks, "on_epoch_end", training)
        if training.stop:
            raise StopIteration

    notify(callbacks, "on_train_begin", training)
    try:
        # BLAS threads spin between calls, on the cores that compute the loss.
        with _libraries().limit(limits=1, user_api="blas"):
            result = scipy.optimize.minimize(
                objective,
                objective.block.astype(np.float64),
                method="L-BFGS-B",
                jac=True,
                callback=after if callbacks or estimator.verbose else None,
                options={
                    "maxfun": estimator.max_fun,
                    "maxiter": estimator.max_iter,
                    "gtol": estimator.tol,
                },
            )
        objective.block[:] = result.x
    finally:
        objective.close()
        notify(callbacks, "on_train_end", training)
    if training.stop:
        estimator.n_iter_ = int(result.nit)
    else:
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
    estimator.loss_ = result.fun
