"""A study: the runs, pictures and findings of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.data import datasets
from fastnn.data.dataset import Dataset
from fastnn.files.atomic import replacing
from fastnn.nn.loss import Loss
from fastnn.nn.sequential import Sequential, flat_layers, model_dtype
from fastnn.optim.optimizer import Optimizer
from fastnn.reports.comparison import FASTNN, PYTORCH, Comparison, Side
from fastnn.training.evaluation import Evaluation, evaluate
from fastnn.training.fit import fit
from fastnn.training.history import History
from fastnn.training.progress import ProgressBar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200


class MissingDataError(OSError):
    """Error for a data set that is missing or damaged."""


class Study:
    """Methods for an experiment to train, compare and draw with, and all their results.

    Pictures are written to `folder`. With `torch`, PyTorch runs too. `share` is the fraction of
    epochs to run. With `progress`, progress bars are shown. `say` is called with messages.
    """

    def __init__(
        self,
        folder: Path,
        *,
        torch: bool = True,
        share: float = 1.0,
        progress: bool = False,
        say: Callable[[str], object] = lambda line: None,
    ):
        self.folder, self.torch, self.share = folder, torch, share
        self._progress, self._say = progress, say
        self.comparisons: list[Comparison] = []
        self.pictures: list[dict[str, str]] = []
        self.findings: list[dict[str, str]] = []

    def load(self, name: str, **options) -> Dataset:
        """Return a data set; raise MissingDataError, which says how to get it, if it is missing."""
        try:
            return datasets.load(name, **options)
        except (OSError, ValueError) as error:
            raise MissingDataError(
                f"{error}. Set FASTNN_DATA to a folder that holds the files of {name}, or run "
                "once with an internet connection, which downloads them"
            ) from error

    def epochs(self, full: int) -> int:
        """Return the number of epochs to run: `share` of `full`, at least 1."""
        return max(1, round(self.share * full))

    def fit(
        self, name: str, model: Sequential, data: Dataset, *, epochs: int, **options
    ) -> History:
        """Train by `fastnn.fit` on the training rows, and validate on the test rows."""
        self._say(f"{name}: {FASTNN}")
        options = {"seed": 0, **options}
        return fit(
            model,
            data.x_train,
            data.y_train,
            epochs=self.epochs(epochs),
            validation_data=(data.x_test, data.y_test),
            progress=self._progress,
            **options,
        )

    def compare(
        self,
        name: str,
        model: Sequential,
        data: Dataset,
        *,
        loss: Loss,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int,
        seed: int = 0,
        callbacks: Iterable = (),
        reported: str = "",
    ) -> Comparison:
        """Train by fastnn and, if wanted, by PyTorch from the same initial weights.

        PyTorch runs for as many epochs as fastnn did, also if a callback stopped it. `reported` is
        a text of the report's figures.
        """
        settings = {
            "network": [repr(layer) for layer in flat_layers(model)],
            "parameters": sum(parameter.size for parameter in model.parameters()),
            "loss": repr(loss),
            "optimizer": _described(optimizer),
            "epochs": self.epochs(epochs),
            "batch_size": batch_size,
            "seed": seed,
            "dtype": model_dtype(model).name,
            "rows": {"training": len(data.x_train), "test": len(data.x_test)},
        }
        comparison = Comparison(name, settings, reported)
        twin = self._twin(model, loss, optimizer)  # before training changes the weights
        history = self.fit(
            name,
            model,
            data,
            loss=loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            callbacks=callbacks,
        )
        rows = {"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)}
        train, test = (evaluate(model, *pair, loss=loss) for pair in rows.values())
        comparison.sides[FASTNN] = Side(history, train, test)
        if twin is not None:
            self._say(f"{name}: {PYTORCH}")
            batches = -(-len(data.x_train) // batch_size)
            with ProgressBar(len(history), batches, self._progress) as bar:
                theirs = twin.fit(
                    *rows["train"],
                    epochs=len(history),
                    batch_size=batch_size,
                    seed=seed,
                    validation_data=rows["test"],
                    bar=bar,
                )
            train, test = (
                Evaluation(*twin.evaluate(*twin.tensors(*pair))) for pair in rows.values()
            )
            comparison.sides[PYTORCH] = Side(theirs, train, test, twin.threads)
        self.comparisons.append(comparison)
        return comparison

    def picture(self, name: str, figure: Figure, title: str, caption: str) -> None:
        """Write a figure as `name`.png, and keep its title and caption for the page."""
        with replacing(self.folder / f"{name}.png") as file:
            figure.savefig(file, format="png", dpi=DPI)
        self.pictures.append({"file": f"{name}.png", "title": title, "caption": caption})

    def finding(self, question: str, answer: str) -> None:
        """Keep a question and its answer for the page."""
        self.findings.append({"question": question, "answer": answer})

    def to_dict(self) -> dict[str, Any]:
        """Return the study as plain values for `results.json`."""
        return {
            "runs": [comparison.to_dict() for comparison in self.comparisons],
            "findings": self.findings,
            "pictures": self.pictures,
        }

    def _twin(self, model: Sequential, loss: Loss, optimizer: Optimizer) -> Any:
        if not self.torch:
            return None
        from fastnn.reports.twin import Twin

        return Twin(model, loss, optimizer)


def _described(optimizer: Optimizer) -> str:
    """Return the repr of an optimizer, with its clipping."""
    bounds = {"clip_value": optimizer.clip_value, "clip_norm": optimizer.clip_norm}
    shown = "".join(f", {name}={bound:g}" for name, bound in bounds.items() if bound is not None)
    return f"{repr(optimizer)[:-1]}{shown})"
