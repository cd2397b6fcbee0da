"""Callbacks: actions between epochs, one class in each file."""
