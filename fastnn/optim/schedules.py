"""Schedules of the learning rate, with torch's names and formulas.

A schedule counts epochs, or with `every="step"` batches, and says what the learning rate
is at each. `fit(schedule=...)` moves it on; by hand call `step()` after an epoch or batch:

    schedule = fastnn.schedules.StepLR(optimizer, step_size=10)
    fastnn.fit(..., optimizer=optimizer, schedule=schedule)

The rate that the optimizer had before its first schedule is the one that they start from,
until another is set by hand.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

from fastnn.optim.monitors import MONITORS, Watched, check_monitor
from fastnn.optim.optimizers import Optimizer
from kernels.functions import updates

EVERY = ("epoch", "step")
"""What a schedule may count."""


class Schedule:
    """What schedules have in common; one of your own overrides `lr_at`.

    `every` says what is counted, "epoch" or "step". Raises TypeError for what is no
    optimizer, ValueError for settings out of range.
    """

    places: tuple[int, ...] = (updates.LEARNING_RATE,)
    """Places of the optimizer's settings that the schedule decides."""

    def __init__(self, optimizer: Optimizer, every: str = "epoch"):
        self._attach(optimizer, every)
        if optimizer.initial_lr is None:
            optimizer.initial_lr = optimizer.lr
        self.base_lr = optimizer.initial_lr
        self.move_to(0)

    def _attach(self, optimizer: Optimizer, every: str) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{self._name}: optimizer is {optimizer!r}; expected a fastnn optimizer"
            )
        self._expect("every", every, every in EVERY, "'epoch' or 'step'")
        self.optimizer, self.every = optimizer, every

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _expect(self, name: str, value, allowed: bool, description: str) -> None:
        if not allowed:
            raise ValueError(f"{self._name}: {name} is {value!r}; expected {description}")

    def _expect_count(self, name: str, value, low: int = 1) -> int:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        self._expect(name, value, whole and value >= low, f"an integer of {low} or more")
        return int(value)

    def _expect_number(self, name: str, value, low: float, high: float) -> float:
        self._expect(name, value, low <= value <= high, f"a number from {low:g} to {high:g}")
        return float(value)

    def lr_at(self, count: int) -> float:
        """The learning rate after so many epochs or steps."""
        raise NotImplementedError(f"{self._name} does not define lr_at")

    def values_at(self, count: int) -> tuple[float, ...]:
        """The settings at `places` after so many epochs or steps."""
        return (self.lr_at(count),)

    def move_to(self, count: int) -> None:
        """Go to where so many epochs or steps are done, and set the optimizer accordingly."""
        self.last_epoch = count
        self.optimizer.settings[list(self.places)] = self.values_at(count)

    def step(self) -> None:
        """Tell that another epoch, or batch, is done."""
        self.move_to(self.last_epoch + 1)

    def begin(self, epochs: int, batches: int, validating: bool) -> None:
        """Hear what `fit` is going to do; raises ValueError if the schedule does not fit that."""

    def epoch_done(self, history: Watched) -> None:
        """Hear that an epoch has been trained and validated; a schedule of steps has moved on."""
        if self.every == "epoch":
            self.step()

    def fill(self, table: np.ndarray) -> None:
        """Write down the settings at the next steps, one a row."""
        for row in range(len(table)):
            table[row] = self.values_at(self.last_epoch + row)

    def get_last_lr(self) -> list[float]:
        """The learning rate as it is now; a list of one, as in torch."""
        return [self.optimizer.lr]

    def state_dict(self) -> dict:
        """What changes, as plain values; the optimizer keeps its own settings."""
        return {"last_epoch": self.last_epoch, "base_lr": self.base_lr}

    def load_state_dict(self, state: dict) -> None:
        """Take over a state; raises KeyError for one of another kind of schedule."""
        expected = self.state_dict().keys()
        if expected != state.keys():
            raise KeyError(
                f"{self._name}: the state has {sorted(state)}; expected {sorted(expected)}"
            )
        for name, value in state.items():
            setattr(self, name, value)
        self._restore()

    def _restore(self) -> None:
        self.move_to(self.last_epoch)

    def __repr__(self) -> str:
        hidden = {"optimizer", "base_lr", "places", *self.state_dict()}
        shown = {name: value for name, value in vars(self).items() if name not in hidden}
        return f"{self._name}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class StepLR(Schedule):
    """lr = base gamma^(t // step_size): falls at once, every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, *,
                 every: str = "epoch"):  # fmt: skip
        self.step_size = self._expect_count("step_size", step_size)
        self.gamma = self._expect_number("gamma", gamma, 0.0, np.inf)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """The learning rate after so many epochs or steps."""
        return self.base_lr * self.gamma ** (count // self.step_size)


class MultiStepLR(Schedule):
    """lr = base gamma^(number of milestones reached); a milestone may be there twice."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, *,
                 every: str = "epoch"):  # fmt: skip
        self.milestones = sorted(self._expect_count("a milestone", m, 0) for m in milestones)
        self.gamma = self._expect_number("gamma", gamma, 0.0, np.inf)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """The learning rate after so many epochs or steps."""
        return self.base_lr * self.gamma ** bisect_right(self.milestones, count)


class ExponentialLR(Schedule):
    """lr = base gamma^t."""

    def __init__(self, optimizer: Optimizer, gamma: float, *, every: str = "epoch"):
        self.gamma = self._expect_number("gamma", gamma, 0.0, np.inf)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """The learning rate after so many epochs or steps."""
        return self.base_lr * self.gamma**count


class LinearLR(Schedule):
    """lr = base times a factor that goes from `start_factor` to `end_factor` in `total_iters`."""

    def __init__(self, optimizer: Optimizer, start_factor: float = 1.0 / 3,
                 end_factor: float = 1.0, total_iters: int = 5, *,
                 every: str = "epoch"):  # fmt: skip
        self.start_factor = self._expect_number("start_factor", start_factor, 0.0, 1.0)
        self._expect("start_factor", start_factor, start_factor > 0, "a number above 0")
        self.end_factor = self._expect_number("end_factor", end_factor, 0.0, 1.0)
        self.total_iters = self._expect_count("total_iters", total_iters)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """The learning rate after so many epochs or steps."""
        done = min(count, self.total_iters) / self.total_iters
        return self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(Schedule):
    """lr = eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2 (Loshchilov & Hutter, 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, *,
                 every: str = "epoch"):  # fmt: skip
        self.T_max = self._expect_count("T_max", T_max)
        self.eta_min = self._expect_number("eta_min", eta_min, 0.0, np.inf)
        super().__init__(optimizer, every)

    def lr_at(self, count: int) -> float:
        """The learning rate after so many epochs or steps."""
        height = (1 + math.cos(math.pi * count / self.T_max)) / 2
        return self.eta_min + (self.base_lr - self.eta_min) * height


class SequentialLR(Schedule):
    """Schedules one after another: each begins anew at its milestone, from the same base rate.

    There is one milestone fewer than there are schedules. Raises ValueError for schedules
    of another optimizer, or that count something else, and for ReduceLROnPlateau.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Schedule],
                 milestones: Sequence[int]):  # fmt: skip
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
        """The learning rate after so many epochs or steps."""
        place = bisect_right(self.milestones, count)
        begun = self.milestones[place - 1] if place else 0
        return self.schedulers[place].lr_at(count - begun)

    def _restore(self) -> None:
        for each in self.schedulers:
            each.base_lr = self.base_lr
            each._restore()
        super()._restore()


def cosine_with_warmup(optimizer: Optimizer, T_max: int, warmup: int,
                       start_factor: float = 1.0 / 3, eta_min: float = 0.0, *,
                       every: str = "epoch") -> SequentialLR:  # fmt: skip
    """Rise along a line for `warmup` epochs, then fall as a cosine until epoch `T_max`."""
    return SequentialLR(
        optimizer,
        [
            LinearLR(optimizer, start_factor, total_iters=warmup, every=every),
            CosineAnnealingLR(optimizer, T_max - warmup, eta_min, every=every),
        ],
        [warmup],
    )


class OneCycleLR(Schedule):
    """Up from max_lr / div_factor to `max_lr` in a share `pct_start` of all steps, then down to 0.

    The end is at the first rate / `final_div_factor`; with `three_phase` the way down to the
    first rate takes as long as the way up. With `cycle_momentum` the momentum, or Adam's
    first beta, goes from `max_momentum` to `base_momentum` and back (L. N. Smith & N. Topin,
    "Super-convergence", 2018). It counts batches. `total_steps` None, without `epochs` and
    `steps_per_epoch`, stands for all that `fit` is going to do.
    """

    def __init__(self, optimizer: Optimizer, max_lr: float, total_steps: int | None = None,
                 epochs: int | None = None, steps_per_epoch: int | None = None,
                 pct_start: float = 0.3, anneal_strategy: str = "cos",
                 cycle_momentum: bool = True, base_momentum: float = 0.85,
                 max_momentum: float = 0.95, div_factor: float = 25.0,
                 final_div_factor: float = 1e4, three_phase: bool = False, *,
                 every: str = "step"):  # fmt: skip
        self._attach(optimizer, every)
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = self._expect_count("epochs", epochs) * self._expect_count(
                "steps_per_epoch", steps_per_epoch
            )
        elif total_steps is not None:
            total_steps = self._expect_count("total_steps", total_steps)
        self.total_steps = total_steps
        self.max_lr = self._expect_number("max_lr", max_lr, 0.0, np.inf)
        self.pct_start = self._expect_number("pct_start", pct_start, 0.0, 1.0)
        known = anneal_strategy in ("cos", "linear")
        self._expect("anneal_strategy", anneal_strategy, known, "'cos' or 'linear'")
        self.anneal_strategy, self.three_phase = anneal_strategy, bool(three_phase)
        for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            self._expect(name, value, value > 0, "a number above 0")
        self.div_factor, self.final_div_factor = float(div_factor), float(final_div_factor)
        self.base_momentum = self._expect_number("base_momentum", base_momentum, 0.0, 1.0)
        self.max_momentum = self._expect_number("max_momentum", max_momentum, 0.0, 1.0)
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
        """Take what `fit` is going to do as the whole, if it is not known yet; check that it is."""
        count = epochs * (batches if self.every == "step" else 1)
        if self.total_steps is None:
            self.total_steps = self.last_epoch + count
        if self.last_epoch + count > self.total_steps:
            raise ValueError(
                f"OneCycleLR: total_steps is {self.total_steps}, of which {self.last_epoch} are "
                f"done; fit is to do {count}"
            )

    def _phases(self) -> list[tuple[float, float, float, float, float]]:
        """Last step of each phase, the rates and the momenta that it goes from and to."""
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
        """The learning rate after so many steps, and the momentum if that changes too."""
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
        """The learning rate after so many steps."""
        return self.values_at(count)[0]

    def state_dict(self) -> dict:
        """What changes, as plain values."""
        return super().state_dict() | {"total_steps": self.total_steps}


class ReduceLROnPlateau(Schedule):
    """lr *= `factor` when a number has not become better for more than `patience` epochs.

    `mode` "min" or "max" says which way is better, and `threshold` by how much: relative
    to the best (`threshold_mode` "rel") or "abs". After a reduction, bad epochs of a
    `cooldown` are not counted; the rate does not fall below `min_lr`, nor by less than `eps`.
    `monitor` names the list of the history that `fit` watches; None takes `val_loss`, or
    `loss` where nothing is validated.
    """

    def __init__(self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1,
                 patience: int = 10, threshold: float = 1e-4, threshold_mode: str = "rel",
                 cooldown: int = 0, min_lr: float = 0.0, eps: float = 1e-8, *,
                 monitor: str | None = None):  # fmt: skip
        self._expect("mode", mode, mode in ("min", "max"), "'min' or 'max'")
        known = threshold_mode in ("rel", "abs")
        self._expect("threshold_mode", threshold_mode, known, "'rel' or 'abs'")
        self._expect("factor", factor, 0 <= factor < 1, "a number from 0 to below 1")
        self._expect("monitor", monitor, monitor in (None, *MONITORS), f"one of {MONITORS}")
        self.mode, self.threshold_mode, self.monitor = mode, threshold_mode, monitor
        self.factor, self.patience = float(factor), self._expect_count("patience", patience, 0)
        self.threshold = self._expect_number("threshold", threshold, 0.0, np.inf)
        self.cooldown = self._expect_count("cooldown", cooldown, 0)
        self.min_lr = self._expect_number("min_lr", min_lr, 0.0, np.inf)
        self.eps = self._expect_number("eps", eps, 0.0, np.inf)
        self.best: float | None = None
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._attach(optimizer, "epoch")

    def begin(self, epochs: int, batches: int, validating: bool) -> None:
        """See that there will be something to watch."""
        check_monitor(self._name, self.monitor, validating)

    def epoch_done(self, history: Watched) -> None:
        """Look at the last epoch of a history."""
        self.step(history.last(self.monitor))

    def step(self, metric: float) -> None:  # type: ignore[override]
        """Tell the number that an epoch ended with."""
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
        if self.best is None:
            return not math.isnan(metric)
        sign = -1 if self.mode == "min" else 1
        relative = self.threshold_mode == "rel"
        bound = (
            self.best * (1 + sign * self.threshold)
            if relative
            else (self.best + sign * self.threshold)
        )
        return sign * metric > sign * bound

    def state_dict(self) -> dict:
        """What changes, as plain values; the optimizer keeps the learning rate."""
        names = "last_epoch", "best", "num_bad_epochs", "cooldown_counter"
        return {name: getattr(self, name) for name in names}

    def _restore(self) -> None:
        """The learning rate is the optimizer's own."""
