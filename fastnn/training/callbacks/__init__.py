"""Callbacks: what may happen between epochs, one kind a file."""
