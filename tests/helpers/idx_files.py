"""Files as MNIST's are."""

import numpy as np


def packed_idx(array):
    """Return the content of an IDX file of bytes."""
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()
