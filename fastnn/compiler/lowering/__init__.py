"""The instructions that layers and losses emit into a program, a file for each family."""
