"""Optimizers with torch's formulas."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fastnn.nn.parameters import Parameter
from fastnn.optim.optimizer import BELOW_ONE, Optimizer, Setting
from kernels.functions import updates

__all__ = ["SGD", "Adam", "AdamW", "RMSprop"]


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

    momentum = Setting(updates.MOMENTUM, 0.0, np.inf, "a number of 0 or more")
    dampening = Setting(updates.DAMPENING, -np.inf, np.inf, "a number")
    _nesterov = Setting(updates.NESTEROV, 0.0, 1.0, "True or False")

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

    beta1 = Setting(updates.BETA1, 0.0, BELOW_ONE, "a number from 0 to below 1")
    beta2 = Setting(updates.BETA2, 0.0, BELOW_ONE, "a number from 0 to below 1")
    eps = Setting(updates.EPSILON, 0.0, np.inf, "a number of 0 or more")

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

    alpha = Setting(updates.ALPHA, 0.0, 1.0, "a number from 0 to 1")
    momentum = Setting(updates.MOMENTUM, 0.0, np.inf, "a number of 0 or more")
    eps = Setting(updates.EPSILON, 0.0, np.inf, "a number of 0 or more")

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
