"""Limits that the command line reads without importing the compiler; this file imports nothing."""

MOST_THREADS = 256
"""Largest number of threads, bounded because they spin while they wait for each other."""
