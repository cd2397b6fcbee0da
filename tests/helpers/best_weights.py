"""A callback whose state has a number that JSON lacks, and arrays."""

import fastnn


class Best(fastnn.Callback):
    """Keeper of the last weights."""

    def __init__(self):
        self.best, self.weights = float("-inf"), {}

    def on_epoch_end(self, training):
        self.weights = training.model.state_dict()

    def state_dict(self):
        return {"best": self.best, "weights": self.weights}

    def load_state_dict(self, state):
        self.best, self.weights = float(state["best"]), dict(state["weights"])
