"""Matrix products, from the register tile to `matmul` and the products of a linear layer."""
