"""Training runs and sweeps as the command line makes them."""
