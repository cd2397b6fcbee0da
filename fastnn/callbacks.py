"""Callbacks: what may happen between epochs, and those that come with fastnn."""

from fastnn.training.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    Progress,
    TensorBoard,
)

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "ModelCheckpoint", "Progress", "TensorBoard"]
