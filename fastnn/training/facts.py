"""Facts of a model that follow from its layers alone, and are kept while these do not change."""

from __future__ import annotations

import numpy as np

from fastnn.compiler.layout import Layout
from fastnn.nn.dropout import Dropout
from fastnn.nn.kinds import dropouts, is_known
from fastnn.nn.sequential import Sequential, chained_layers, check_chain, model_dtype
from fastnn.training.inputs import output_columns, takes_rows


class Facts:
    """Dtype, columns and layers of dropout of a model.

    Raises TypeError or ValueError for layers that make no chain of one dtype.
    """

    def __init__(self, model: Sequential):
        check_chain(model)
        self.layout = Layout(model)
        self.dtype: np.dtype = model_dtype(model)
        self.takes_rows: bool = takes_rows(model)
        self.dropouts: list[Dropout] = dropouts(model)
        self._columns: dict[int, int] = {}

    def output_columns(self, name: str, model: Sequential, samples: np.ndarray) -> int:
        """Return the columns of a model's output; raise ValueError if samples do not fit it."""
        columns = samples.shape[1]
        if columns not in self._columns:
            self._columns[columns] = output_columns(name, model, samples)
        return self._columns[columns]


def facts_of(model: Sequential) -> Facts:
    """Return the facts of a model: the kept ones if it has not changed, else new ones.

    Those of layers of the user's own are always new.
    """
    kept = model._plans.get(Facts) if model._plans else None
    if kept is not None and kept.layout.holds(model):
        return kept
    facts = Facts(model)
    if all(map(is_known, chained_layers(model))):
        if model._plans is None:
            model._plans = {}
        model._plans[Facts] = facts
    return facts
