"""Training, evaluation and prediction, with their callbacks, history and checkpoints."""
