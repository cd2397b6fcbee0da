"""From a chain, a loss and an optimizer to the program that the interpreter runs."""
