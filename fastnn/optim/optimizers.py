"""Optimizers with torch's formulas, on flat memory.

All settings may be changed between steps (`optimizer.lr = 0.01`). The arrays that an
optimizer remembers, such as momentum, have the memory layout of the parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np

from fastnn.nn.layer import is_number
from fastnn.nn.parameters import Parameter, copy_into
from kernels.base.memory import lasting, lasting_zeros
from kernels.functions import updates

__all__ = ["SGD", "Adam", "AdamW", "RMSprop"]


class _Setting:
    """An attribute that is stored in the kernels' array of settings, and checked when it is set."""

    def __init__(self, place: int, low: float, high: float, description: str):
        self.place, self.low, self.high, self.description = place, low, high, description

    def __set_name__(self, owner, name: str) -> None:
        self.name = name

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else float(optimizer.settings[self.place])

    def __set__(self, optimizer, value: float) -> None:
        number = is_number(value)
        if not number or not self.low <= value <= self.high:
            kind = type(optimizer).__name__
            name = self.name.removeprefix("_")
            error = ValueError if number else TypeError
            raise error(f"{kind}: {name} is {value!r}; expected {self.description}")
        optimizer.settings[self.place] = value


_BELOW_ONE = float(np.nextafter(1.0, 0.0))
_LARGEST = float(np.finfo(np.float64).max)


class Optimizer:
    """Base class of optimizers.

    Before a step, `clip_value` bounds the elements of the gradient and `clip_norm` the
    Euclidean norm of the whole gradient, as `torch.nn.utils.clip_grad_value_` and
    `clip_grad_norm_` do; None does not clip.
    """

    command_name: str | None = None
    """Name on the command line; None if the optimizer is not offered there."""
    command_settings: Mapping[str, float] = {}
    """Defaults on the command line that differ from the constructor's."""
    momentum_place: int | None = None
    """Index of the setting that `OneCycleLR` lowers while it raises the learning rate, or None."""

    _lr = _Setting(updates.LEARNING_RATE, 0.0, _LARGEST, "a number of 0 or more")
    weight_decay = _Setting(updates.WEIGHT_DECAY, 0.0, _LARGEST, "a number of 0 or more")
    _clip_value = _Setting(updates.CLIP_VALUE, 0.0, np.inf, "a number of 0 or more, or None")
    _clip_norm = _Setting(updates.CLIP_NORM, 0.0, np.inf, "a number of 0 or more, or None")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        weight_decay: float,
        clip_value: float | None,
        clip_norm: float | None,
    ):
        self._parameters = tuple(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")
        for parameter in self.parameters:
            if not isinstance(parameter, Parameter):
                raise TypeError(
                    f"{type(self).__name__}: got a {type(parameter).__name__}; expected "
                    "Parameters, such as model.parameters() gives"
                )
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise ValueError(f"{type(self).__name__}: a parameter is there twice")
        self._settings = lasting_zeros(updates.SETTINGS, np.float64)
        self.settings[updates.GRADIENT_SCALE] = 1.0
        self.initial_lr: float | None = None
        """Learning rate from which schedules start; None until there is a schedule."""
        self.lr, self.weight_decay = lr, weight_decay
        self.clip_value, self.clip_norm = clip_value, clip_norm
        self.steps = 0
        self._remember()

    @property
    def rule(self) -> updates.Rule:
        """The formula of a step, and the number of arrays that it remembers."""
        raise NotImplementedError(f"{type(self).__name__} does not define rule")

    def _remember(self) -> None:
        """Allocate the memories: for each dtype, arrays with the layout of the parameters."""
        self._starts: list[int] = []
        totals: dict[np.dtype, int] = {}
        for parameter in self.parameters:
            start = totals.get(parameter.dtype, 0)
            self._starts.append(start)
            totals[parameter.dtype] = start + parameter.span
        memories = self.rule.memories
        self._memory = {
            dtype: lasting_zeros(memories * size, dtype).reshape(memories, size)
            for dtype, size in totals.items()
        }

    @cached_property
    def _arrays(self) -> list[tuple[Parameter, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        """The parameters, and flat views of each one's values, gradient and memories."""
        return [
            (each, (each.memory, each.gradient_memory, self._memories_at(place)))
            for place, each in enumerate(self.parameters)
        ]

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_arrays"}

    def __setstate__(self, state: dict) -> None:
        # Unpickled arrays may be read-only, mapped from a file, or not aligned.
        vars(self).update(state)
        self._settings = lasting(self._settings)
        self._memory = {
            dtype: lasting(array.reshape(-1)).reshape(array.shape)
            for dtype, array in self._memory.items()
        }

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in order."""
        return self._parameters

    @property
    def settings(self) -> np.ndarray:
        """The kernels' array of settings, as a view; assigning copies values into it."""
        return self._settings[:]

    @settings.setter
    def settings(self, values) -> None:
        copy_into(self.settings, values, "settings")

    @property
    def memory(self) -> dict[np.dtype, np.ndarray]:
        """Views of the memories of each dtype, (memories, size); assigning copies into them."""
        return {dtype: array[:] for dtype, array in self._memory.items()}

    @memory.setter
    def memory(self, arrays: Mapping) -> None:
        for dtype, array in self.memory.items():
            copy_into(array, arrays[dtype], "memory")

    def knows(self, parameter: Parameter) -> bool:
        """Return True if the optimizer updates this parameter."""
        return any(each is parameter for each in self.parameters)

    def memories_of(self, parameter: Parameter) -> np.ndarray:
        """Return the memories of a parameter, (memories, span), as a view."""
        place = next(i for i, each in enumerate(self.parameters) if each is parameter)
        return self._memories_at(place)

    def _memories_at(self, place: int) -> np.ndarray:
        parameter, start = self.parameters[place], self._starts[place]
        return self._memory[parameter.dtype][:, start : start + parameter.span]

    @property
    def lr(self) -> float:
        """Learning rate; schedules start from the value that was set last."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr, self.initial_lr = value, None

    @property
    def clip_value(self) -> float | None:
        """Bound on the elements of the gradient, or None."""
        return None if np.isinf(self._clip_value) else self._clip_value

    @clip_value.setter
    def clip_value(self, bound: float | None) -> None:
        self._clip_value = np.inf if bound is None else bound

    @property
    def clip_norm(self) -> float | None:
        """Bound on the norm of the gradient, or None."""
        return None if np.isinf(self._clip_norm) else self._clip_norm

    @clip_norm.setter
    def clip_norm(self, bound: float | None) -> None:
        self._clip_norm = np.inf if bound is None else bound
        self.settings[updates.GRADIENT_SCALE] = 1.0  # the last scale is of the old bound

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for parameter in self.parameters:
            parameter.gradient_memory[:] = 0

    def step(self) -> None:
        """Update all parameters by their gradients."""
        scale = 1.0
        if self.clip_norm is not None:
            norm = updates.gradient_norm(gradient for _, (_, gradient, _) in self._arrays)
            scale = updates.clip_factor.py_func(norm, self.clip_norm)
        self.settings[updates.GRADIENT_SCALE] = scale
        rule, steps, settings = self.rule, self.steps, self.settings
        for each, arrays in self._arrays:
            updates.update_flat(rule, each.decays, steps, settings, *arrays)
        self.steps += 1

    def state_dict(self) -> dict:
        """Return copies of the settings, the number of steps, and each parameter's memories."""
        return {
            "rule": self.rule.name,
            "settings": self.settings.copy(),
            "steps": self.steps,
            "memory": [[np.array(each) for each in views] for views in self._seen()],
        }

    def load_state_dict(self, state: dict) -> None:
        """Restore a state; raise ValueError if it is of another kind of model or optimizer."""
        shapes = [[each.shape for each in views] for views in self._seen()]
        given = [[np.shape(each) for each in arrays] for arrays in state["memory"]]
        if shapes != given:
            raise ValueError(
                f"{type(self).__name__}: the state remembers arrays of shapes {given}; "
                f"expected {shapes}"
            )
        rule = state.get("rule", self.rule.name)  # older states have no entry
        if rule != self.rule.name:
            raise ValueError(
                f"{type(self).__name__}: the state is of an optimizer with the rule {rule}; "
                f"expected {self.rule.name}"
            )
        if state["settings"][updates.DECOUPLED] != self.settings[updates.DECOUPLED]:
            raise ValueError(
                f"{type(self).__name__}: the state is of an optimizer with the other weight decay "
                "(Adam's is added to the gradient, AdamW's is not)"
            )
        given = state["settings"]
        self.settings[: len(given)] = given  # older states have fewer settings
        self.steps = int(state["steps"])
        for views, values in zip(self._seen(), state["memory"], strict=True):
            for view, value in zip(views, values, strict=True):
                view[...] = value

    def _seen(self) -> Iterator[list[np.ndarray]]:
        """Return the memories of each parameter, in its shape."""
        for place, parameter in enumerate(self.parameters):
            yield [parameter.seen_in(array) for array in self._memories_at(place)]

    def _describe(self) -> dict:
        return {"lr": self.lr}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._describe().items())
        return f"{type(self).__name__}({arguments})"


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as in torch.

    g = gradient + weight_decay p, v = momentum v + (1 - dampening) g, and p -= lr v. In the first
    step v = g. With `nesterov`, p -= lr (g + momentum v).

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters p to update, such as `model.parameters()`.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0.0
        Factor of the velocity v, 0 or more; without momentum v = g.
    dampening : float, default 0.0
        Reduction of the gradient's share of v.
    weight_decay : float, default 0.0
        Factor of the L2 penalty's gradient, which is added to the gradient.
    nesterov : bool, default False
        Whether to use Nesterov momentum, which needs `momentum` above 0 and `dampening` of 0.
    clip_value : float, optional
        Bound on the elements of the gradient, clipped before each step; None does not clip.
    clip_norm : float, optional
        Bound on the Euclidean norm of the whole gradient; None does not clip.

    Raises
    ------
    TypeError or ValueError
        If settings are out of range, or `parameters` holds other objects.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and
    momentum in deep learning", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import SGD, Parameter
    >>> parameter = Parameter(np.array([1.0, 2.0]))
    >>> optimizer = SGD([parameter], lr=0.5)
    >>> parameter.grad[...] = [0.5, -4.0]
    >>> optimizer.step()
    >>> parameter.data
    array([0.75, 4.  ])
    """

    rule = updates.SGD
    command_name, command_settings = "sgd", {"lr": 0.05, "momentum": 0.9}
    momentum_place = updates.MOMENTUM

    momentum = _Setting(updates.MOMENTUM, 0.0, np.inf, "a number of 0 or more")
    dampening = _Setting(updates.DAMPENING, -np.inf, np.inf, "a number")
    _nesterov = _Setting(updates.NESTEROV, 0.0, 1.0, "True or False")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ):
        super().__init__(parameters, lr, weight_decay, clip_value, clip_norm)
        self.momentum, self.dampening = momentum, dampening
        if nesterov and (momentum <= 0.0 or dampening != 0.0):
            raise ValueError("SGD: nesterov needs momentum above 0 and dampening of 0")
        self._nesterov = float(nesterov)

    @property
    def nesterov(self) -> bool:
        """True if the step uses Nesterov momentum."""
        return bool(self._nesterov)

    def _describe(self) -> dict:
        return {
            "lr": self.lr,
            "momentum": self.momentum,
            "dampening": self.dampening,
            "weight_decay": self.weight_decay,
            "nesterov": self.nesterov,
        }


class Adam(Optimizer):
    """Adam, as in torch: weight decay is added to the gradient.

    g = gradient + weight_decay p, m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and in step t
    p -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps). With `amsgrad` the update uses the
    largest v so far in place of v.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters p to update, such as `model.parameters()`.
    lr : float, default 1e-3
        Learning rate.
    betas : tuple of two floats, default (0.9, 0.999)
        Decay rates b1 and b2 of the two moments m and v, from 0 to below 1.
    eps : float, default 1e-8
        Number that is added to the divisor, which keeps it above 0.
    weight_decay : float, default 0.0
        Factor of the L2 penalty's gradient, which is added to the gradient.
    amsgrad : bool, default False
        Whether to use the largest v so far.
    clip_value : float, optional
        Bound on the elements of the gradient, clipped before each step; None does not clip.
    clip_norm : float, optional
        Bound on the Euclidean norm of the whole gradient; None does not clip.

    Raises
    ------
    TypeError or ValueError
        If settings are out of range, or `parameters` holds other objects.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", 2015.

    S. J. Reddi, S. Kale and S. Kumar, "On the convergence of Adam and beyond", 2018, on amsgrad.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Adam, Parameter
    >>> parameter = Parameter(np.array([1.0, 2.0]))
    >>> optimizer = Adam([parameter], lr=0.1)
    >>> parameter.grad[...] = [0.5, -4.0]
    >>> optimizer.step()
    >>> parameter.data.round(4)
    array([0.9, 2.1])
    """

    command_name, command_settings = "adam", {"lr": 0.003}
    momentum_place = updates.BETA1
    decoupled = False

    beta1 = _Setting(updates.BETA1, 0.0, _BELOW_ONE, "a number from 0 to below 1")
    beta2 = _Setting(updates.BETA2, 0.0, _BELOW_ONE, "a number from 0 to below 1")
    eps = _Setting(updates.EPSILON, 0.0, np.inf, "a number of 0 or more")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ):
        self._amsgrad = bool(amsgrad)
        super().__init__(parameters, lr, weight_decay, clip_value, clip_norm)
        self.betas, self.eps = betas, eps
        self.settings[updates.DECOUPLED] = float(self.decoupled)

    @property
    def rule(self) -> updates.Rule:
        """The rule of Adam, or with `amsgrad` of AMSGrad."""
        return updates.AMSGRAD if self._amsgrad else updates.ADAM

    @property
    def amsgrad(self) -> bool:
        """True if the largest second moment so far is used."""
        return self._amsgrad

    @property
    def betas(self) -> tuple[float, float]:
        """The decay rates of the two moments."""
        return self.beta1, self.beta2

    @betas.setter
    def betas(self, values: tuple[float, float]) -> None:
        self.beta1, self.beta2 = values

    def _describe(self) -> dict:
        described = {
            "lr": self.lr,
            "betas": self.betas,
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }
        return {**described, "amsgrad": True} if self._amsgrad else described


class AdamW(Adam):
    """Adam with decoupled weight decay, as in torch: first p *= 1 - lr weight_decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters p to update, such as `model.parameters()`.
    lr : float, default 1e-3
        Learning rate.
    betas : tuple of two floats, default (0.9, 0.999)
        Decay rates of the two moments, from 0 to below 1.
    eps : float, default 1e-8
        Number that is added to the divisor, which keeps it above 0.
    weight_decay : float, default 1e-2
        Decay by which parameters shrink in each step, times `lr`.
    amsgrad : bool, default False
        Whether to use the largest second moment so far.
    clip_value : float, optional
        Bound on the elements of the gradient, clipped before each step; None does not clip.
    clip_norm : float, optional
        Bound on the Euclidean norm of the whole gradient; None does not clip.

    Raises
    ------
    TypeError or ValueError
        If settings are out of range, or `parameters` holds other objects.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import AdamW, Parameter
    >>> parameter = Parameter(np.array([1.0, 2.0]))
    >>> optimizer = AdamW([parameter], lr=0.1, weight_decay=0.5)
    >>> optimizer.step()
    >>> parameter.data
    array([0.95, 1.9 ])
    """

    command_name = "adamw"
    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ):
        clipping = {"clip_value": clip_value, "clip_norm": clip_norm}
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad, **clipping)


class RMSprop(Optimizer):
    """RMSprop, as in torch: the gradient is divided by the root of its mean square.

    g = gradient + weight_decay p, s = alpha s + (1 - alpha) g^2,
    v = momentum v + g / (sqrt(s) + eps), and p -= lr v. If `centered`, the root is of s - m^2,
    where m = alpha m + (1 - alpha) g.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters p to update, such as `model.parameters()`.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        Decay rate of s and m, from 0 to 1.
    eps : float, default 1e-8
        Number that is added to the divisor, which keeps it above 0.
    weight_decay : float, default 0.0
        Factor of the L2 penalty's gradient, which is added to the gradient.
    momentum : float, default 0.0
        Factor of v in the next step, 0 or more.
    centered : bool, default False
        Whether to divide by the root of the gradient's variance instead of its mean square.
    clip_value : float, optional
        Bound on the elements of the gradient, clipped before each step; None does not clip.
    clip_norm : float, optional
        Bound on the Euclidean norm of the whole gradient; None does not clip.

    Raises
    ------
    TypeError or ValueError
        If settings are out of range, or `parameters` holds other objects.

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5: RMSprop", Neural networks for machine learning, 2012.

    A. Graves, "Generating sequences with recurrent neural networks", 2013, on the centered variant.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Parameter, RMSprop
    >>> parameter = Parameter(np.array([1.0, 2.0]))
    >>> optimizer = RMSprop([parameter], lr=0.1, alpha=0.75)
    >>> parameter.grad[...] = [0.5, -4.0]
    >>> optimizer.step()
    >>> parameter.data.round(4)
    array([0.8, 2.2])
    """

    command_name, command_settings = "rmsprop", {"lr": 0.003}
    momentum_place = updates.MOMENTUM

    alpha = _Setting(updates.ALPHA, 0.0, 1.0, "a number from 0 to 1")
    momentum = _Setting(updates.MOMENTUM, 0.0, np.inf, "a number of 0 or more")
    eps = _Setting(updates.EPSILON, 0.0, np.inf, "a number of 0 or more")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ):
        self._centered = bool(centered)
        super().__init__(parameters, lr, weight_decay, clip_value, clip_norm)
        self.alpha, self.eps, self.momentum = alpha, eps, momentum

    @property
    def rule(self) -> updates.Rule:
        """The rule of RMSprop, or of its centered variant."""
        return updates.CENTERED_RMSPROP if self._centered else updates.RMSPROP

    @property
    def centered(self) -> bool:
        """True if the divisor is the root of the gradient's variance."""
        return self._centered

    def _describe(self) -> dict:
        return {
            "lr": self.lr,
            "alpha": self.alpha,
            "eps": self.eps,
            "weight_decay": self.weight_decay,
            "momentum": self.momentum,
            "centered": self.centered,
        }
