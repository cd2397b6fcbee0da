"""The command line's commands, one a file.

Modules that are slow to import are imported inside the commands, so that `--help` does not wait.
"""
