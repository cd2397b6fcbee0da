"""Data sets, built in or read from files."""
