"""Tables in files: reading, columns, targets, splits and encoding to rows of numbers."""
