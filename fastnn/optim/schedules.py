"""Schedules of the learning rate, with torch's names and formulas.

A schedule sets the learning rate for each epoch or, with `every="step"`, for each batch.
`fit(schedule=...)` advances it; in a training loop of one's own `step()` does so:

    schedule = fastnn.schedules.StepLR(optimizer, step_size=10)
    fastnn.fit(..., optimizer=optimizer, schedule=schedule)

In the formulas t is the number of epochs or batches done, and base the learning rate of the
optimizer before its first schedule, or the last one that was set by hand.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

from fastnn.optim.monitors import MONITORS, Watched, check_monitor
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.schedule import Schedule
from kernels.functions import updates


class StepLR(Schedule):
    """Step decay, lr = base * gamma^floor(t / step_size).

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets.
    step_size : int
        Epochs or batches from one step to the next.
    gamma : float, default 0.1
        Factor of a step.
    every : {"epoch", "step"}, default "epoch"
        Whether the schedule advances with each epoch or with each batch.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        For settings out of range.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import StepLR
    >>> schedule = StepLR(SGD(Linear(3, 2).parameters(), lr=1.0), step_size=2, gamma=0.5)
    >>> [schedule.lr_at(epoch) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, *, every: str = "epoch"
    ):
        self.step_size = self._expect_count("step_size", step_size)
        self.gamma = self._expect_number("gamma", gamma, np.inf)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """Return the learning rate after `count` epochs or batches."""
        return self.base_lr * self.gamma ** (count // self.step_size)


class MultiStepLR(Schedule):
    """Step decay at milestones, lr = base * gamma^m after m milestones.

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets.
    milestones : iterable of int
        Epochs or batches at which the rate is multiplied by gamma, once for each occurrence.
    gamma : float, default 0.1
        Factor of a step.
    every : {"epoch", "step"}, default "epoch"
        Whether the schedule advances with each epoch or with each batch.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        For settings out of range.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import MultiStepLR
    >>> schedule = MultiStepLR(SGD(Linear(3, 2).parameters(), lr=1.0), [1, 3], gamma=0.5)
    >>> [schedule.lr_at(epoch) for epoch in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        *,
        every: str = "epoch",
    ):
        self.milestones = sorted(self._expect_count("a milestone", m, 0) for m in milestones)
        self.gamma = self._expect_number("gamma", gamma, np.inf)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """Return the learning rate after `count` epochs or batches."""
        return self.base_lr * self.gamma ** bisect_right(self.milestones, count)


class ExponentialLR(Schedule):
    """Exponential decay, lr = base * gamma^t.

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets.
    gamma : float
        Factor of each epoch or batch.
    every : {"epoch", "step"}, default "epoch"
        Whether the schedule advances with each epoch or with each batch.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        For settings out of range.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import ExponentialLR
    >>> schedule = ExponentialLR(SGD(Linear(3, 2).parameters(), lr=1.0), gamma=0.5)
    >>> [schedule.lr_at(epoch) for epoch in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, *, every: str = "epoch"):
        self.gamma = self._expect_number("gamma", gamma, np.inf)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """Return the learning rate after `count` epochs or batches."""
        return self.base_lr * self.gamma**count


class LinearLR(Schedule):
    """Linear change, lr = base * (start + (end - start) * min(t / total_iters, 1)).

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets.
    start_factor : float, default 1/3
        Factor of the base rate at the start, above 0 and up to 1.
    end_factor : float, default 1.0
        Factor of the base rate at the end, 0 to 1.
    total_iters : int, default 5
        Epochs or batches of the change.
    every : {"epoch", "step"}, default "epoch"
        Whether the schedule advances with each epoch or with each batch.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        For settings out of range.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import LinearLR
    >>> schedule = LinearLR(SGD(Linear(3, 2).parameters(), lr=1.0), 0.5, total_iters=2)
    >>> [schedule.lr_at(epoch) for epoch in range(4)]
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        *,
        every: str = "epoch",
    ):
        self.start_factor = self._expect_number("start_factor", start_factor, 1.0)
        self._expect("start_factor", start_factor, start_factor > 0, "a number above 0")
        self.end_factor = self._expect_number("end_factor", end_factor, 1.0)
        self.total_iters = self._expect_count("total_iters", total_iters)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """Return the learning rate after `count` epochs or batches."""
        done = min(count, self.total_iters) / self.total_iters
        return self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(Schedule):
    """Cosine annealing, lr = eta_min + (base - eta_min) * (1 + cos(pi * t / T_max)) / 2.

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets.
    T_max : int
        Epochs or batches until the rate is `eta_min`.
    eta_min : float, default 0.0
        Smallest learning rate.
    every : {"epoch", "step"}, default "epoch"
        Whether the schedule advances with each epoch or with each batch.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        For settings out of range.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import CosineAnnealingLR
    >>> schedule = CosineAnnealingLR(SGD(Linear(3, 2).parameters(), lr=1.0), T_max=2)
    >>> [schedule.lr_at(epoch) for epoch in range(3)]
    [1.0, 0.5, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, *, every: str = "epoch"
    ):
        self.T_max = self._expect_count("T_max", T_max)
        self.eta_min = self._expect_number("eta_min", eta_min, np.inf)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """Return the learning rate after `count` epochs or batches."""
        height = (1 + math.cos(math.pi * count / self.T_max)) / 2
        return self.eta_min + (self.base_lr - self.eta_min) * height


class SequentialLR(Schedule):
    """Sequence of schedules; each one starts at its milestone with t = 0.

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer of all the schedules.
    schedulers : sequence of Schedule
        Schedules in order; all count the same unit and set the learning rate alone.
    milestones : sequence of int
        Epochs or batches at which the second schedule and those after it start.

    Raises
    ------
    ValueError
        For schedules of another optimizer or of different units, for `ReduceLROnPlateau`, and for
        milestones of another number or order.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = SGD(Linear(3, 2).parameters(), lr=1.0)
    >>> warmup = LinearLR(optimizer, 0.5, total_iters=2)
    >>> schedule = SequentialLR(optimizer, [warmup, ExponentialLR(optimizer, 0.5)], [2])
    >>> [schedule.lr_at(epoch) for epoch in range(5)]
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int]
    ):
        self.schedulers = list(schedulers)
        self.milestones = [self._expect_count("a milestone", m, 0) for m in milestones]
        if len(self.milestones) != len(self.schedulers) - 1 or sorted(milestones) != [*milestones]:
            raise ValueError(
                f"SequentialLR: milestones are {milestones!r}; expected one fewer than there are "
                f"schedules, which are {len(self.schedulers)}, in rising order"
            )
        for each in self.schedulers:
            fits = isinstance(each, Schedule) and not isinstance(each, ReduceLROnPlateau)
            self._expect("a schedule", each, fits, "a Schedule other than ReduceLROnPlateau")
            same = each.optimizer is optimizer and each.every == self.schedulers[0].every
            self._expect("a schedule", each, same, "one of the same optimizer, counting the same")
            self._expect(
                "a schedule", each, each.places == Schedule.places, "one of the learning rate alone"
            )
        super().__init__(optimizer, self.schedulers[0].every)

    def lr_at(self, count: int) -> float:
        """Return the learning rate after `count` epochs or batches."""
        place = bisect_right(self.milestones, count)
        begun = self.milestones[place - 1] if place else 0
        return self.schedulers[place].lr_at(count - begun)

    def _restore(self) -> None:
        for each in self.schedulers:
            each.base_lr = self.base_lr
            each._restore()
        super()._restore()


def cosine_with_warmup(
    optimizer: Optimizer,
    T_max: int,
    warmup: int,
    start_factor: float = 1.0 / 3,
    eta_min: float = 0.0,
    *,
    every: str = "epoch",
) -> SequentialLR:
    """Return a linear warmup followed by cosine annealing.

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets.
    T_max : int
        Epochs or batches until the rate is `eta_min`, warmup included.
    warmup : int
        Epochs or batches of the warmup.
    start_factor : float, default 1/3
        Factor of the base rate at the start of the warmup.
    eta_min : float, default 0.0
        Smallest learning rate of the annealing.
    every : {"epoch", "step"}, default "epoch"
        Whether the schedule advances with each epoch or with each batch.

    Returns
    -------
    SequentialLR
        `LinearLR`, then `CosineAnnealingLR`.

    Raises
    ------
    ValueError
        For settings out of range.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import cosine_with_warmup
    >>> optimizer = SGD(Linear(3, 2).parameters(), lr=1.0)
    >>> schedule = cosine_with_warmup(optimizer, T_max=4, warmup=2, start_factor=0.5)
    >>> [schedule.lr_at(epoch) for epoch in range(5)]
    [0.5, 0.75, 1.0, 0.5, 0.0]
    """
    return SequentialLR(
        optimizer,
        [
            LinearLR(optimizer, start_factor, total_iters=warmup, every=every),
            CosineAnnealingLR(optimizer, T_max - warmup, eta_min, every=every),
        ],
        [warmup],
    )


class OneCycleLR(Schedule):
    """One-cycle policy: the rate rises to `max_lr`, then falls far below the initial rate.

    The rate rises from max_lr / div_factor to max_lr, then falls to
    max_lr / (div_factor * final_div_factor). With `cycle_momentum`, the optimizer's momentum, or
    Adam's first beta, falls from `max_momentum` to `base_momentum` and rises again. The steps are
    `total_steps`, or `epochs` * `steps_per_epoch`, or by default all steps of the `fit`.

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets; one with momentum to cycle it.
    max_lr : float
        Largest learning rate.
    total_steps : int, optional
        Number of batches, or of epochs if the schedule counts these.
    epochs, steps_per_epoch : int, optional
        Number of epochs and of batches in an epoch, in place of `total_steps`.
    pct_start : float, default 0.3
        Share of the steps in which the rate rises.
    anneal_strategy : {"cos", "linear"}, default "cos"
        Shape of the rise and the fall.
    cycle_momentum : bool, default True
        Whether the momentum changes inversely to the rate.
    base_momentum, max_momentum : float, default 0.85 and 0.95
        Smallest and largest momentum.
    div_factor : float, default 25.0
        Ratio of the largest to the initial rate.
    final_div_factor : float, default 1e4
        Ratio of the initial to the final rate.
    three_phase : bool, default False
        Whether the rate first falls to the initial rate, as long as it rose, then to the final one.
    every : {"step", "epoch"}, default "step"
        Whether the schedule advances with each batch or with each epoch.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        For settings out of range.

    References
    ----------
    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import OneCycleLR
    >>> optimizer = SGD(Linear(3, 2).parameters(), lr=0.1, momentum=0.9)
    >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> [round(schedule.lr_at(step), 3) for step in (0, 2, 9)]
    [0.04, 1.0, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        *,
        every: str = "step",
    ):
        self._attach(optimizer, every)
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = self._expect_count("epochs", epochs) * self._expect_count(
                "steps_per_epoch", steps_per_epoch
            )
        elif total_steps is not None:
            total_steps = self._expect_count("total_steps", total_steps)
        self.total_steps = total_steps
        self.max_lr = self._expect_number("max_lr", max_lr, np.inf)
        self.pct_start = self._expect_number("pct_start", pct_start, 1.0)
        known = anneal_strategy in ("cos", "linear")
        self._expect("anneal_strategy", anneal_strategy, known, "'cos' or 'linear'")
        self.anneal_strategy, self.three_phase = anneal_strategy, bool(three_phase)
        for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            self._expect(name, value, value > 0, "a number above 0")
        self.div_factor, self.final_div_factor = float(div_factor), float(final_div_factor)
        self.base_momentum = self._expect_number("base_momentum", base_momentum, 1.0)
        self.max_momentum = self._expect_number("max_momentum", max_momentum, 1.0)
        self.cycle_momentum = bool(cycle_momentum)
        if self.cycle_momentum:
            place = optimizer.momentum_place
            known = place is not None
            self._expect("optimizer", optimizer, known, "one with momentum, such as SGD or Adam")
            assert place is not None
            self.places = updates.LEARNING_RATE, place
        self.base_lr = self.max_lr / self.div_factor
        self.move_to(0)

    def begin(self, epochs: int, batches: int, validating: bool) -> None:
        """Set the total from the steps of `fit` if it is None; raise ValueError if it is less."""
        count = epochs * (batches if self.every == "step" else 1)
        if self.total_steps is None:
            self.total_steps = self.last_epoch + count
        if self.last_epoch + count > self.total_steps:
            raise ValueError(
                f"OneCycleLR: total_steps is {self.total_steps}, of which {self.last_epoch} are "
                f"done; fit is to do {count}"
            )

    def _phases(self) -> list[tuple[float, float, float, float, float]]:
        """Return for each phase its last step, first and last rate, first and last momentum."""
        assert self.total_steps is not None
        low, high = self.base_momentum, self.max_momentum
        first, top, last = self.base_lr, self.max_lr, self.base_lr / self.final_div_factor
        summit, end = self.pct_start * self.total_steps - 1, float(self.total_steps - 1)
        if not self.three_phase:
            return [(summit, first, top, high, low), (end, top, last, low, high)]
        foot = 2 * self.pct_start * self.total_steps - 2
        return [
            (summit, first, top, high, low),
            (foot, top, first, low, high),
            (end, first, last, high, high),
        ]

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start

    def values_at(self, count: int) -> tuple[float, ...]:
        """Return the learning rate after `count` steps, and the momentum if it is cycled."""
        values = self.base_lr, self.max_momentum
        if self.total_steps is not None:
            self._expect(
                "the step", count, count <= self.total_steps, f"at most {self.total_steps}"
            )
            begun, phases = 0.0, self._phases()
            for place, (end, from_lr, to_lr, from_momentum, to_momentum) in enumerate(phases):
                if count <= end or place == len(phases) - 1:
                    share = (count - begun) / (end - begun) if end != begun else 1.0
                    lr = self._between(from_lr, to_lr, share)
                    values = lr, self._between(from_momentum, to_momentum, share)
                    break
                begun = end
        return values[: len(self.places)]

    def lr_at(self, count: int) -> float:
        """Return the learning rate after `count` steps."""
        return self.values_at(count)[0]

    def state_dict(self) -> dict:
        """Return the state as plain values, without the optimizer's settings."""
        return super().state_dict() | {"total_steps": self.total_steps}


class ReduceLROnPlateau(Schedule):
    """Reduction of the rate, lr = max(lr * factor, min_lr), when a number stops improving.

    The schedule counts epochs. Without `fit`, `step(number)` is called after each epoch. A number
    that is not finite is no improvement.

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets.
    mode : {"min", "max"}, default "min"
        Whether smaller or larger numbers are better.
    factor : float, default 0.1
        Factor of a reduction, 0 to below 1.
    patience : int, default 10
        Number of epochs without improvement that are tolerated.
    threshold : float, default 1e-4
        Least difference to the best number that counts as an improvement.
    threshold_mode : {"rel", "abs"}, default "rel"
        Whether the threshold is a share of the best number's magnitude, also of a negative one, or
        absolute.
    cooldown : int, default 0
        Number of epochs after a reduction that do not count as without improvement.
    min_lr : float, default 0.0
        Smallest learning rate.
    eps : float, default 1e-8
        Smallest reduction that is made.
    monitor : str, optional
        List of the history that `fit` watches; None takes `val_loss`, or `loss` without validation.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        For settings out of range.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import ReduceLROnPlateau
    >>> optimizer = SGD(Linear(3, 2).parameters(), lr=1.0)
    >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (0.3, 0.3, 0.3):
    ...     schedule.step(loss)
    >>> optimizer.lr
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
        *,
        monitor: str | None = None,
    ):
        self._expect("mode", mode, mode in ("min", "max"), "'min' or 'max'")
        known = threshold_mode in ("rel", "abs")
        self._expect("threshold_mode", threshold_mode, known, "'rel' or 'abs'")
        self._expect("factor", factor, 0 <= factor < 1, "a number from 0 to below 1")
        self._expect("monitor", monitor, monitor in (None, *MONITORS), f"one of {MONITORS}")
        self.mode, self.threshold_mode, self.monitor = mode, threshold_mode, monitor
        self.factor, self.patience = float(factor), self._expect_count("patience", patience, 0)
        self.threshold = self._expect_number("threshold", threshold, np.inf)
        self.cooldown = self._expect_count("cooldown", cooldown, 0)
        self.min_lr = self._expect_number("min_lr", min_lr, np.inf)
        self.eps = self._expect_number("eps", eps, np.inf)
        self.best: float | None = None
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._attach(optimizer, "epoch")

    def begin(self, epochs: int, batches: int, validating: bool) -> None:
        """Raise ValueError if the watched list will be empty."""
        check_monitor(self._name, self.monitor, validating)

    def epoch_done(self, history: Watched) -> None:
        """Advance by the watched number of the last epoch."""
        self.step(history.last(self.monitor))

    def step(self, metric: float) -> None:  # type: ignore[override]
        """Advance by one epoch, which ended with the number `metric`."""
        metric = float(metric)
        self.last_epoch += 1
        if self._is_better(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            before = self.optimizer.lr
            after = max(before * self.factor, self.min_lr)
            if before - after > self.eps:
                self.optimizer.settings[updates.LEARNING_RATE] = after

    def _is_better(self, metric: float) -> bool:
        if self.best is None or not math.isfinite(metric):
            return math.isfinite(metric)
        sign = -1 if self.mode == "min" else 1
        margin = self.threshold
        if self.threshold_mode == "rel":
            margin *= abs(self.best)
        return sign * metric > sign * self.best + margin

    def state_dict(self) -> dict:
        """Return the state as plain values, without the optimizer's settings."""
        names = "last_epoch", "best", "num_bad_epochs", "cooldown_counter"
        return {name: getattr(self, name) for name in names}

    def _restore(self) -> None:
        """Do nothing, because the optimizer's state holds the learning rate."""
