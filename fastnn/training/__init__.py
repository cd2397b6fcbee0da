"""Training, evaluation and prediction, and what users hear of them."""
