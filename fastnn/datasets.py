"""Data sets, built in or read from files: training and test rows, ready for a network."""

from fastnn.data.dataset import Dataset, SubsetError
from fastnn.data.datasets import (
    DATASETS,
    DISK_RADIUS,
    digits,
    disk,
    fashion_mnist,
    is_path,
    load,
    mnist,
    two_class,
)

__all__ = [
    "DATASETS",
    "DISK_RADIUS",
    "Dataset",
    "SubsetError",
    "digits",
    "disk",
    "fashion_mnist",
    "is_path",
    "load",
    "mnist",
    "two_class",
]
