"""Names of the files in a run's folder."""

MODEL, HISTORY = "model.safetensors", "history.json"
CURVES, IMPORTANCE = "curves.png", "importance.png"
CONFUSION, PREDICTIONS = "confusion.png", "predictions.png"
PICTURES = CURVES, CONFUSION, PREDICTIONS, IMPORTANCE
FILES = MODEL, HISTORY, *PICTURES
"""Names of all files.

`PREDICTIONS` is a regression's in place of `CONFUSION`; `IMPORTANCE` is a table's.
"""
