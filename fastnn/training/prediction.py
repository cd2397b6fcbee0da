"""`predict` and `predict_proba`: the outputs, classes and probabilities of a model for samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.compiler import forward
from fastnn.compiler.forward import Ending, Plan
from fastnn.compiler.limits import EVALUATION_BATCH, MOST_THREADS
from fastnn.compiler.lowering.stage import UnsupportedError
from fastnn.metrics import probabilities
from fastnn.nn.activations import Sigmoid
from fastnn.nn.loss import Loss, as_loss
from fastnn.nn.sequential import Sequential, flat_layers, model_dtype
from fastnn.nn.softmax import LogSoftmax, Softmax
from fastnn.training.batches import are_batches, read_samples_of
from fastnn.training.eager import predict_eagerly
from fastnn.training.inputs import check_model, output_columns, read_samples, takes_rows
from kernels.base import arrays

__all__ = ["predict", "predict_proba"]


def predict(
    model: Sequential,
    x: Any,
    *,
    batch_size: int = EVALUATION_BATCH,
    threads: int | None = None,
    out: np.ndarray | None = None,
    classes: bool = False,
) -> np.ndarray:
    """Return the outputs of a model for samples, without dropout, or their classes.

    For a classifier outputs are logits. What a call has prepared is kept with the model, so that
    the next calls take microseconds; `fastnn.Predictor` is quicker still for one number of rows.

    Parameters
    ----------
    model : Sequential
        The model; it is not changed.
    x : array_like
        Samples, (samples, ...), as in `fit`, or an iterable of batches of them, such as a
        `DataLoader`, whose targets are passed over. Contiguous rows of the model's dtype, or of
        bytes, are read where they lie.
    batch_size : int, default 256
        Rows computed at a time by a model with layers of the user's own; the result does not
        depend on it, unless such a layer does.
    threads : int, optional
        Most threads to use, up to `get_num_threads()`; None chooses by the amount of work.
    out : numpy.ndarray, optional
        Array for the result, of its shape and dtype. Its content is undefined after an error.
    classes : bool, default False
        Whether to return the index of each row's largest output. Of a single output the class is 1
        where it is above 0, or above 0.5 if the last layer is a `Sigmoid`, and else 0.

    Returns
    -------
    numpy.ndarray
        Outputs, (samples, columns), of the model's dtype; with `classes` int64 indices (samples,).
        It is `out` if that is given.

    Raises
    ------
    TypeError or ValueError
        For samples that do not fit the model, as in `fit`, or an `out` that cannot hold the result.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import ReLU, Sequential, predict
    >>> model, x = Sequential(ReLU()), np.array([[-1.0, 2.0]])
    >>> predict(model, x)
    array([[0., 2.]], dtype=float32)
    >>> predict(model, x, classes=True)
    array([1])
    """
    ending = classes_of(model) if classes else forward.OUTPUTS
    return _apply(model, x, ending, batch_size, threads, out)


def predict_proba(
    model: Sequential,
    x: Any,
    *,
    loss: Loss | None = None,
    batch_size: int = EVALUATION_BATCH,
    threads: int | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the probabilities that a classifier gives to samples.

    They are the softmax of the outputs for `CrossEntropyLoss` and `NLLLoss`, and their sigmoid for
    `BCEWithLogitsLoss`. A classifier of a table that was trained with another loss gives outputs
    that are probabilities but for errors: they are clipped at 0 and scaled to a sum of 1.

    Parameters
    ----------
    model : Sequential
        The model; it is not changed.
    x : array_like
        Samples, as in `predict`.
    loss : Loss, optional
        Loss that the model was trained with; by default that of its last `fit`. A model that was
        not trained by `fit` tells by its last layer (`Softmax`, `LogSoftmax` or `Sigmoid`), or has
        the names of `classes`, and then logits.
    batch_size : int, default 256
        Rows computed at a time, as in `predict`.
    threads : int, optional
        Most threads to use, as in `predict`.
    out : numpy.ndarray, optional
        Array for the result, as in `predict`.

    Returns
    -------
    numpy.ndarray
        Probabilities, (samples, columns), of the model's dtype. Rows sum to 1, but for
        `BCEWithLogitsLoss`, whose columns are independent.

    Raises
    ------
    TypeError or ValueError
        As for `predict`, and if the model was trained with another loss, or none is known.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import CrossEntropyLoss, Linear, Sequential, predict_proba
    >>> model = Sequential(Linear(2, 4, init="zeros"))
    >>> predict_proba(model, np.ones((1, 2)), loss=CrossEntropyLoss())
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """
    if loss is None and _gives_shares(model):
        outputs = predict(model, x, batch_size=batch_size, threads=threads)
        shares = probabilities(outputs, "identity").astype(outputs.dtype)
        return _filled(arrays.output("out", out, shares.shape, shares.dtype), shares)
    return _apply(model, x, probabilities_of(model, loss), batch_size, threads, out)


def _gives_shares(model: Sequential) -> bool:
    """Return True for a classifier of a table whose outputs are about probabilities."""
    check_model(model)
    return model.link is None and getattr(model.schema, "link", None) == "identity"


_ENDINGS = {"softmax": forward.SOFTMAX, "sigmoid": forward.SIGMOID}


def probabilities_of(model: Sequential, loss: Loss | None = None) -> Ending:
    """Return the ending of a plan for probabilities; raise ValueError if it is not known."""
    if loss is None and _gives_shares(model):
        raise ValueError(
            "the outputs are about probabilities, which fastnn.predict_proba scales; expected a "
            "model that was trained with CrossEntropyLoss(), NLLLoss() or BCEWithLogitsLoss()"
        )
    check_model(model)
    link = model.link if loss is None else as_loss(loss).link
    if link is not None:
        return _ENDINGS[link]
    last = type(_last_layer(model))
    if loss is not None or not (model.classes or last in (Softmax, LogSoftmax, Sigmoid)):
        told = "are known" if loss is None else f"belong to {loss!r}"
        raise ValueError(
            f"predict_proba: no probabilities {told}; expected loss=CrossEntropyLoss(), "
            "NLLLoss() or BCEWithLogitsLoss()"
        )
    return forward.OUTPUTS if last in (Softmax, Sigmoid) else forward.SOFTMAX


def classes_of(model: Sequential) -> Ending:
    """Return the ending of a plan for the classes that a model predicts."""
    check_model(model)
    of_probabilities = type(_last_layer(model)) is Sigmoid
    return forward.CLASSES_OF_PROBABILITIES if of_probabilities else forward.CLASSES


def _last_layer(model: Sequential) -> Any:
    """Return a model's last layer, or None."""
    layers = flat_layers(model)
    return layers[-1] if layers else None


def _apply(
    model: Sequential,
    x: Any,
    ending: Ending,
    batch_size: int,
    threads: int | None,
    out: np.ndarray | None,
) -> np.ndarray:
    """Return a model's results for samples, by a kept plan, a new one, or in Python."""
    if threads is not None:
        threads = arrays.count("threads", threads, 1, MOST_THREADS, ", or None")
    if batch_size != EVALUATION_BATCH:
        batch_size = arrays.count("batch_size", batch_size)
    rows, plan = x, None
    if type(x) is np.ndarray and isinstance(model, Sequential):
        plan = forward.kept(model, x, ending)
    if plan is None:
        rows = _read(model, x)
        plan = forward.kept(model, rows, ending)
    if plan is None:
        try:
            plan = Plan(model, rows.dtype, rows.shape[1], len(rows), ending)
        except UnsupportedError:
            return _apply_eagerly(model, rows, ending, batch_size, out)
    y = plan.empty(len(rows))
    if out is not None:
        arrays.output("out", out, y.shape, y.dtype)
        apart = not (np.may_share_memory(out, rows) or plan.reads(out, len(rows)))
        y = out if out.flags.c_contiguous and apart else y
    finite = plan.run(model, rows, y, threads)
    forward.keep(model, plan)
    if not finite:
        _read(model, x)  # raises the error
    return y if out is None else _filled(out, y)


def _read(model: Sequential, x) -> np.ndarray:
    """Return samples as rows for a model; raise TypeError or ValueError if they do not fit."""
    check_model(model)
    if are_batches(x):
        x = read_samples_of(x)
    rows = read_samples("x", x, model_dtype(model), takes_rows(model))
    output_columns("x", model, rows)
    return rows


def _apply_eagerly(
    model: Sequential, rows: np.ndarray, ending: Ending, batch_size: int, out: np.ndarray | None
) -> np.ndarray:
    """Return results like `_apply`, of a model that is computed in Python."""
    y = predict_eagerly(model, rows, min(batch_size, len(rows)))
    if ending.layer is not None:
        y = ending.layer().forward(y)
    if ending.above is not None:
        y = (y[:, 0] > ending.above).astype(np.int64) if y.shape[1] == 1 else y.argmax(axis=1)
    return y if out is None else _filled(arrays.output("out", out, y.shape, y.dtype), y)


def _filled(out: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return `out` with the numbers of `y`."""
    if out is not y:
        out[...] = y
    return out
