"""Functions of blocks and of arrays: activations, losses, normalization, updates."""
