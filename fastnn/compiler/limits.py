"""Limits that the command line reads without importing the compiler; this file imports nothing."""

MOST_THREADS = 256
"""Largest number of threads, as `kernels.base.host` has it; each has memory of its own."""
