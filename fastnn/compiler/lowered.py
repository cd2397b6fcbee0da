"""The base class of what runs a model's program, made anew when the model has changed."""

from __future__ import annotations

from typing import Any


class Lowered:
    """A model's current runner; use it as a context manager.

    A program fixes layers, settings and counts of steps. A subclass defines `_basis`, which returns
    all that its program fixes, to be compared by `==`, and `_make`, which returns a runner for it.
    """

    runner: Any
    """The current runner."""

    def _basis(self) -> list:
        """Return all that the program fixes."""
        raise NotImplementedError

    def _make(self) -> Any:
        """Return a new runner."""
        raise NotImplementedError

    def _check(self) -> None:
        """Raise an error for a change that cannot be followed, beside those of `_make`."""

    def lower(self) -> None:
        """Make the first runner."""
        self.runner, self._fixed = self._make(), self._basis()

    def refresh(self) -> bool:
        """Make a new runner if the basis has changed since the last one; return True then.

        If that raises an error, the runner stays the old one.
        """
        if self._fixed == self._basis():
            return False
        self._check()
        old = self.runner
        self.lower()
        old.__exit__(None, None, None)
        return True

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.runner.__exit__(*error)

    def close(self) -> None:
        """End the threads."""
        self.__exit__(None, None, None)
