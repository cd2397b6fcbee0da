"""Training runs, searches and sweeps behind the command line."""
