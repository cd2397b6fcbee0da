"""Tables in files: read, understood, and made into rows of numbers."""
