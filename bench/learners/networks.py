"""The network and the optimizer of a workload, by a library with torch's names of classes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from types import ModuleType
from typing import Any

import numpy as np

from bench import data
from bench.workloads import Workload

_ACTIVATIONS = {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def network(
    workload: Workload, library: ModuleType, loaded: Callable[[np.ndarray], Any], *before
) -> Any:
    """Return the network of a workload, after the layers `before`, with the initial weights.

    `library` has the classes of layers, and `loaded` converts an array to the library's type.
    """
    layers = [getattr(library, kind)(*settings) for kind, *settings in _layers(workload)]
    model = library.Sequential(*before, *layers)
    arrays = chain.from_iterable(data.parameters(workload))
    model.load_state_dict(dict(zip(model.state_dict(), map(loaded, arrays), strict=True)))
    return model


def _layers(workload: Workload) -> list[tuple]:
    """Return the name of each layer's class, and its arguments."""
    *hidden, last = zip(workload.sizes, workload.sizes[1:], strict=False)
    dropout: list[tuple] = [("Dropout", workload.dropout)] if workload.dropout else []
    layers = [] if hidden else [*dropout]
    for sizes in hidden:
        layers += [("Linear", *sizes), (_ACTIVATIONS[workload.activation],), *dropout]
    layers.append(("Linear", *last))
    if workload.output:
        layers.append((_ACTIVATIONS[workload.output],))
    return layers


def optimizer(workload: Workload, library: ModuleType, model, **settings) -> Any:
    """Return the optimizer of a workload for a model; `settings` go to the library."""
    if workload.optimizer == "SGD":
        settings["momentum"] = workload.momentum
    return getattr(library, workload.optimizer)(model.parameters(), lr=workload.lr, **settings)
