"""Networks for tables: from a frame or a file to a model in one call."""

from __future__ import annotations

from typing import Any

from fastnn.data.names import TABLE
from fastnn.nn.sequential import Sequential
from fastnn.runs.data import read_data
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings, given_in

__all__ = ["fit"]


def fit(table: Any, target: str, **settings: Any) -> Sequential:
    """Return a network that was trained to predict a column of a table from the others.

    It is what `fastnn train FILE --target COLUMN` trains: columns are understood, numbers scaled
    robustly, and width, batch and epochs chosen by the number of rows. A share of the rows is held
    out, which `fastnn.datasets.load` gives with the same options.

    Parameters
    ----------
    table : frame, mapping, str or path-like
        Table: a frame of pandas or polars, an Arrow table, a dict of columns, or the path of a
        file; all that `fastnn.datasets.load` takes.
    target : str
        Column to predict.
    **settings
        Options of `fastnn train`, by their names with underscores: `task`, `drop`, `categorical`,
        `test`, `hidden`, `epochs`, `seed`, `recipe`, ...

    Returns
    -------
    Sequential
        The network; `predict_frame` predicts from frames, `fastnn.save` keeps it in a file.

    Raises
    ------
    ValueError
        For a setting that is not allowed (`SettingError`), and for a table that cannot be used
        (`TableError`).
    TypeError
        For an unknown setting or a setting of another type.
    NonFiniteLossError
        If the loss is not finite; by the default recipe, the best finite weights are kept instead.

    Examples
    --------
    >>> import fastnn
    >>> columns = {"size": [i % 20 for i in range(200)], "city": ["Ulm", "Bonn"] * 100}
    >>> rent = [7.0 * (i % 20) + 30 * (i % 2) for i in range(200)]
    >>> model = fastnn.tables.fit(columns | {"rent": rent}, "rent")
    >>> told = model.predict_frame({"size": [10, 11], "city": ["Ulm", "Bonn"]})
    >>> [round(float(each)) for each in told["prediction"]]
    [70, 107]
    """
    given = given_in(settings)
    chosen = Settings(TABLE, target=target, **given)
    run = Run(chosen, read_data(chosen, table))
    run.train()
    return run.model
