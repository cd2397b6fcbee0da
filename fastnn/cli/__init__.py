"""The command line's commands, one a file.

What takes long to import is imported inside the commands, so that `--help` does not wait.
"""
