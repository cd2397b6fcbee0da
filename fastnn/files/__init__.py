"""Atomic writing of files, and the files of models."""
