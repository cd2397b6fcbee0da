"""Callbacks: actions between epochs, which `fit` is given as a list.

fastnn.fit(..., callbacks=[EarlyStopping(patience=5), CSVLogger("log.csv")])
"""

from fastnn.training.callbacks.callback import Callback
from fastnn.training.callbacks.csv_logger import CSVLogger
from fastnn.training.callbacks.early_stopping import EarlyStopping
from fastnn.training.callbacks.model_checkpoint import ModelCheckpoint
from fastnn.training.callbacks.progress import Progress
from fastnn.training.callbacks.tensorboard import TensorBoard

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "ModelCheckpoint", "Progress", "TensorBoard"]
