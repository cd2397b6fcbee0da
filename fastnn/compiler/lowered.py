"""The base class of what runs a model's program, made anew when the model has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnn.compiler.layout import Layout
from fastnn.nn.sequential import Sequential


class _Kept(NamedTuple):
    """A runner that a model keeps, and all that its program fixes."""

    runner: Any
    layout: Layout
    fixed: list
    form: list


class Lowered:
    """A model's current runner; use it as a context manager.

    A program fixes layers, settings and counts of steps. A subclass sets `model` and defines
    `_basis`, which returns all that its program fixes beside the model's layout, to be compared by
    `==`, and `_make`, which returns a runner for it. If it defines `_form` and `_inputs`, the model
    keeps the runner at the end, and the next object of the class takes it if all that is the same.
    """

    model: Sequential
    """The model."""
    runner: Any
    """The current runner."""
    _common: list | None = None  # the form, if the model may keep the runner

    def _basis(self) -> list:
        """Return all that the program fixes beside the layers."""
        raise NotImplementedError

    def _make(self) -> Any:
        """Return a new runner."""
        raise NotImplementedError

    def _check(self) -> None:
        """Raise an error for a change that cannot be followed, beside those of `_make`."""

    def _form(self) -> list | None:
        """Return all else that another run must have in common to take the runner, or None."""
        return None

    def _inputs(self) -> Mapping[str, np.ndarray]:
        """Return the arrays of samples that the program reads, by name."""
        return {}

    def _take(self, runner: Any) -> None:
        """Take over the state of a kept runner."""

    def begin(self) -> None:
        """Take the runner that the model keeps, if it fits, or make the first one."""
        self._common, plans = self._form(), self.model._plans
        kept = plans.pop(type(self), None) if plans and self._common is not None else None
        if kept is not None and kept.form == self._common and kept.layout.holds(self.model):
            self._take(kept.runner)
            if kept.fixed == self._basis():
                self.runner, self._layout, self._fixed, _ = kept
                self.runner.bind(self._inputs())
                return
        self.lower()

    def lower(self) -> None:
        """Make a runner."""
        layout = Layout(self.model, training=True)  # before another thread changes the layers
        self.runner = self._make()
        self._layout, self._fixed = layout, self._basis()

    def refresh(self) -> bool:
        """Make a new runner if what the program fixes has changed; return True then.

        If that raises an error, the runner stays the old one.
        """
        if self._layout.holds(self.model) and self._fixed == self._basis():
            return False
        self._check()
        old = self.runner
        self.lower()
        old.__exit__(None, None, None)
        return True

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        form = self._common
        if form is None or error[0] is not None or not self.runner.release():
            self.runner.__exit__(*error)
            return
        if self.model._plans is None:
            self.model._plans = {}
        self.model._plans[type(self)] = _Kept(self.runner, self._layout, self._fixed, form)

    def close(self) -> None:
        """End the threads."""
        self.__exit__(None, None, None)
