"""Files that are written whole or not at all, and those of models."""
