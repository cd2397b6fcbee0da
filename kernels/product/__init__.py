"""The matrix product, from the register tile to `matmul`."""
