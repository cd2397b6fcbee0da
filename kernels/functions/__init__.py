"""Functions of blocks and of arrays: activations, losses, normalisation, updates."""
