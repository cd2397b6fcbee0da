"""fastnn's kernels: compiled arithmetic on NumPy arrays, usable by themselves.

    from kernels import matmul, relu, softmax_cross_entropy

Each function is compiled once for float32 and once for float64, at its first use, and its
machine code is kept on disk. Several threads (`set_num_threads`) share the work on large
arrays; their number changes no bit of the result.
"""

from kernels.base import arrays
from kernels.functions import updates as updates
from kernels.functions.activations import (
    ACTIVATIONS,
    exp,
    exp_gradient,
    relu,
    relu_gradient,
    sigmoid,
    sigmoid_gradient,
    tanh,
    tanh_gradient,
)
from kernels.functions.dropout import dropout, dropout_gradient
from kernels.functions.gathering import normalize
from kernels.functions.losses import (
    LossResult,
    binary_cross_entropy,
    huber,
    mean_absolute_error,
    mean_squared_error,
    negative_log_likelihood,
    poisson,
)
from kernels.functions.rectifiers import elu, gelu, leaky_relu, silu, softplus
from kernels.functions.softmax import (
    CrossEntropy,
    log_softmax,
    log_softmax_gradient,
    softmax,
    softmax_cross_entropy,
    softmax_gradient,
)
from kernels.functions.updates import gradient_norm
from kernels.machine.team import get_num_threads, set_num_threads
from kernels.product.linear import matmul_update
from kernels.product.matmul import add_column_sums, matmul, matmul_gradient

__all__ = [
    "ACTIVATIONS",
    "CrossEntropy",
    "LossResult",
    "add_column_sums",
    "arrays",
    "binary_cross_entropy",
    "dropout",
    "dropout_gradient",
    "elu",
    "exp",
    "exp_gradient",
    "gelu",
    "get_num_threads",
    "gradient_norm",
    "huber",
    "leaky_relu",
    "log_softmax",
    "log_softmax_gradient",
    "matmul",
    "matmul_gradient",
    "matmul_update",
    "mean_absolute_error",
    "mean_squared_error",
    "negative_log_likelihood",
    "normalize",
    "poisson",
    "relu",
    "relu_gradient",
    "set_num_threads",
    "sigmoid",
    "sigmoid_gradient",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softmax_gradient",
    "softplus",
    "tanh",
    "tanh_gradient",
]
