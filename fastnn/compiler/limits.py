"""Limits that are read without importing the compiler; this file imports nothing."""

MOST_THREADS = 256
"""Largest number of threads, as `kernels.base.host` has it; each has memory of its own."""

EVALUATION_BATCH = 256
"""Rows of a batch without training; the activations of 256 rows fit an L2 cache."""
