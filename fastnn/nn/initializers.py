"""Initializers of weights: functions of a shape (fan_out, fan_in) and a random generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches

import numpy as np

Initializer = Callable[[tuple[int, int], np.random.Generator], np.ndarray]


def torch_default(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as `torch.nn.Linear` does by default.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weight, (fan_out, fan_in).
    rng : numpy.random.Generator
        Generator that draws the numbers.

    Returns
    -------
    numpy.ndarray
        The weight, of float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import initializers
    >>> initializers.torch_default((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """
    bound = 1.0 / math.sqrt(shape[1]) if shape[1] else 0.0
    return rng.uniform(-bound, bound, shape)


def xavier_uniform(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw from U(-a, a) with a = sqrt(6 / (fan_in + fan_out)).

    Parameters
    ----------
    shape : tuple of int
        Shape of the weight, (fan_out, fan_in).
    rng : numpy.random.Generator
        Generator that draws the numbers.

    Returns
    -------
    numpy.ndarray
        The weight, of float64.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import initializers
    >>> initializers.xavier_uniform((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """
    bound = math.sqrt(6.0 / max(sum(map(int, shape)), 1))
    return rng.uniform(-bound, bound, shape)


def xavier_normal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw from N(0, 2 / (fan_in + fan_out)).

    Parameters
    ----------
    shape : tuple of int
        Shape of the weight, (fan_out, fan_in).
    rng : numpy.random.Generator
        Generator that draws the numbers.

    Returns
    -------
    numpy.ndarray
        The weight, of float64.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import initializers
    >>> initializers.xavier_normal((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """
    return rng.normal(0.0, math.sqrt(2.0 / max(sum(map(int, shape)), 1)), shape)


def kaiming_uniform(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw from U(-a, a) with a = sqrt(6 / fan_in), for layers before a ReLU.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weight, (fan_out, fan_in).
    rng : numpy.random.Generator
        Generator that draws the numbers.

    Returns
    -------
    numpy.ndarray
        The weight, of float64.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level
    performance on ImageNet classification", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import initializers
    >>> initializers.kaiming_uniform((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """
    bound = math.sqrt(6.0 / max(shape[1], 1))
    return rng.uniform(-bound, bound, shape)


def kaiming_normal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw from N(0, 2 / fan_in), for layers before a ReLU.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weight, (fan_out, fan_in).
    rng : numpy.random.Generator
        Generator that draws the numbers.

    Returns
    -------
    numpy.ndarray
        The weight, of float64.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level
    performance on ImageNet classification", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import initializers
    >>> initializers.kaiming_normal((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """
    return rng.normal(0.0, math.sqrt(2.0 / max(shape[1], 1)), shape)


def normal(mean: float = 0.0, std: float = 1.0) -> Initializer:
    """Return an initializer that draws from N(mean, std^2).

    Parameters
    ----------
    mean : float, default 0.0
        Mean of the numbers.
    std : float, default 1.0
        Their standard deviation.

    Returns
    -------
    callable
        Function of a shape and a generator.

    Examples
    --------
    >>> from fastnn import Linear, initializers
    >>> Linear(3, 2, init=initializers.normal(std=0.01))
    Linear(in_features=3, out_features=2, bias=True)
    """
    return lambda shape, rng: rng.normal(mean, std, shape)


def zeros(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a weight of zeros.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weight, (fan_out, fan_in).
    rng : numpy.random.Generator
        Generator that draws the numbers.

    Returns
    -------
    numpy.ndarray
        The weight, of float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import initializers
    >>> initializers.zeros((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """
    return np.zeros(shape)


INITIALIZERS: dict[str, Initializer] = {
    "default": torch_default,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "kaiming_uniform": kaiming_uniform,
    "kaiming_normal": kaiming_normal,
    "normal": normal(),
    "zeros": zeros,
}
"""Initializers by name."""


def initializer(name_or_function: str | Initializer) -> Initializer:
    """Return the initializer of a name, and a function as it is.

    Parameters
    ----------
    name_or_function : str or callable
        Name in `INITIALIZERS`, or a function of a shape and a generator.

    Returns
    -------
    callable
        Function of a shape and a generator.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> from fastnn import initializers
    >>> initializers.initializer("zeros") is initializers.zeros
    True
    """
    if callable(name_or_function):
        return name_or_function
    if name_or_function in INITIALIZERS:
        return INITIALIZERS[name_or_function]
    near = get_close_matches(str(name_or_function), INITIALIZERS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(INITIALIZERS)
    raise ValueError(f"unknown initializer {name_or_function!r}; expected one of {known}{hint}")
