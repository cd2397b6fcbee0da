"""`Predictor`: predictions for one number of rows, with memory and checks made once."""

from __future__ import annotations

import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fastnn.compiler import forward
from fastnn.compiler.forward import Plan
from fastnn.compiler.lowering.stage import UnsupportedError
from fastnn.nn.layer import named_dtype
from fastnn.nn.sequential import Sequential, columns_of, model_dtype
from fastnn.training.inputs import check_model
from fastnn.training.prediction import classes_of, probabilities_of
from kernels.base import arrays, forks
from kernels.base.memory import lasting_zeros

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


__all__ = ["Predictor"]

_ALL: weakref.WeakSet[Predictor] = weakref.WeakSet()


def _renew() -> None:
    """Renew the locks in the child of a fork, where no other thread holds them."""
    for each in _ALL:
        each._lock = threading.Lock()


forks.in_child(_renew)


class Predictor:
    """Predictor of one number of rows, for control loops and servers.

    Either call it with rows, or write rows to `x`, call `run()`, and read the results from `y`. It
    follows weights and running statistics that change in place; a model whose layers or settings
    have changed needs a new predictor. It serves one thread at a time: others wait.

    Parameters
    ----------
    model : Sequential
        The model; it is not changed.
    rows : int, default 1
        Number of rows of each call.
    columns : int, optional
        Columns of the rows; only needed for a model whose layers take any number.
    input_dtype : dtype, optional
        Dtype of the rows: the model's by default, or uint8.
    classes, probabilities : bool, default False
        Whether results are class indices, as from `fastnn.predict(..., classes=True)`, or
        probabilities, as from `fastnn.predict_proba`.

    Raises
    ------
    TypeError
        For a model with layers that are computed in Python.
    ValueError
        For settings that do not fit the model.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Linear, Predictor, Sequential
    >>> model = Sequential(Linear(3, 2, init="zeros"))
    >>> model[0].bias = [1.0, 2.0]
    >>> predictor = Predictor(model)
    >>> predictor(np.ones((1, 3), np.float32))
    array([[1., 2.]], dtype=float32)
    >>> predictor.x[:] = 3
    >>> predictor.run()
    array([[1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        model: Sequential,
        rows: int = 1,
        *,
        columns: int | None = None,
        input_dtype: DTypeLike | None = None,
        classes: bool = False,
        probabilities: bool = False,
    ):
        check_model(model)
        rows = arrays.count("rows", rows)
        dtype = model_dtype(model)
        given = dtype if input_dtype is None else named_dtype(input_dtype)
        if given not in (dtype, np.uint8):
            raise ValueError(
                f"Predictor: input_dtype is {input_dtype!r}; expected {dtype} or uint8"
            )
        width = _columns("Predictor", model, columns)
        if classes and probabilities:
            raise ValueError("Predictor: expected classes or probabilities, not both")
        ending = forward.OUTPUTS
        if classes or probabilities:
            ending = classes_of(model) if classes else probabilities_of(model)
        self._arguments = model, rows, columns, input_dtype, classes, probabilities
        try:
            plan = Plan(model, given, width, rows, ending)
        except UnsupportedError as error:
            raise TypeError(f"Predictor: {error}; use fastnn.predict") from None
        self._model, self._plan, self._holds = model, plan, plan.layout.holds
        self._x = _memory((rows, width), given)
        self._y = _memory((rows, *plan.shape), plan.results)
        self._dtype, self._shape = plan.dtype, self._x.shape
        self._empty = partial(np.empty, self._y.shape, self._y.dtype)
        # Whoever sets the shape of an array that was handed out sets only that of a view.
        self._views = self._x[:], self._y[:]
        self._lock = threading.Lock()
        _ALL.add(self)

    def __reduce__(self):
        """Return the arguments for copies and pickles, which get memory of their own."""
        model, rows, columns, dtype, classes, probabilities = self._arguments
        options = {"columns": columns, "input_dtype": dtype}
        return _made, (model, rows, options | {"classes": classes, "probabilities": probabilities})

    @property
    def x(self) -> np.ndarray:
        """The rows that `run` reads, (rows, columns)."""
        return self._views[0]

    @property
    def y(self) -> np.ndarray:
        """The results that `run` writes, (rows, outputs), or (rows,) for classes."""
        return self._views[1]

    def run(self) -> np.ndarray:
        """Compute the results of the rows in `x`; return `y`, which holds them.

        Raises ValueError for a number that is not finite, RuntimeError if the model has changed.
        """
        self._run(self._x, self._y)
        return self._views[1]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the results of rows in a new array.

        Parameters
        ----------
        x : numpy.ndarray
            The rows, (rows, columns), of the input's dtype.

        Returns
        -------
        numpy.ndarray
            Results, of the shape and dtype of `y`.

        Raises
        ------
        TypeError
            If `x` is no array, or of another dtype.
        ValueError
            If `x` has another shape, or a number is not finite.
        RuntimeError
            If the model has changed since the predictor was made.
        """
        if type(x) is not np.ndarray or x.dtype != self._dtype or x.shape != self._shape:
            self._refuse(x)
        if not x.flags.c_contiguous:
            x = np.ascontiguousarray(x)
        y = self._empty()
        self._run(x, y)
        return y

    def _run(self, x: np.ndarray, y: np.ndarray) -> None:
        """Compute the results `y` of the rows `x`."""
        with self._lock:
            if not self._holds(self._model):
                raise RuntimeError(
                    "Predictor: the model has changed since this predictor was made; make a new one"
                )
            finite = self._plan.run(self._model, x, y)
        if not finite:
            raise ValueError(f"x holds a number that is not finite in {self._dtype}")

    def _refuse(self, x) -> None:
        """Raise TypeError or ValueError for an `x` that is not as it was told, unless NumPy's."""
        if not isinstance(x, np.ndarray):
            raise TypeError(f"x is a {type(x).__name__}; expected a NumPy array of {self._dtype}")
        if x.dtype != self._dtype:
            raise TypeError(f"x is of {x.dtype}; expected {self._dtype}")
        if x.shape != self._shape:
            raise ValueError(f"x has shape {x.shape}; expected {self._shape}")

    def __repr__(self) -> str:
        rows, columns = self._shape
        return f"Predictor(rows={rows}, columns={columns}, dtype={self._dtype})"


def _made(model: Sequential, rows: int, options: dict) -> Predictor:
    return Predictor(model, rows, **options)


def _columns(name: str, model: Sequential, columns: int | None) -> int:
    """Return the columns of a model's input; raise ValueError unless they are known and right."""
    own, _ = columns_of(model)
    if columns is None and own is None:
        raise ValueError(f"{name}: the model takes any number of columns; expected columns=")
    if columns is None or arrays.count(f"{name}: columns", columns) == own:
        return own or 0
    if own is not None:
        raise ValueError(f"{name}: columns is {columns}; the model takes {own}")
    return int(columns)


def _memory(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return zeros of a shape, whose memory nobody else can move."""
    arrays.check_size("Predictor: rows", shape, dtype)
    return lasting_zeros(int(np.prod(shape)), dtype).reshape(shape)
