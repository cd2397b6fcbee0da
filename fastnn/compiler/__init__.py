"""Compile a model, a loss and an optimizer into a program for the kernels' interpreter."""
