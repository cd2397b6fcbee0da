"""The machine that runs programs: the interpreter and its threads."""
