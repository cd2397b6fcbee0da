"""The instructions of programs, one function for each."""
