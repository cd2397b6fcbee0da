"""Limits that the command line knows without importing the compiler: nothing is imported here."""

MOST_THREADS = 256
"""Largest number of threads: the threads of a step wait for each other by spinning."""
