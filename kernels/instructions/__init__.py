"""What a program is made of: a function for each kind of instruction."""
