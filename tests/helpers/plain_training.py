"""Training in plain NumPy, in float64, written from the textbooks: it knows nothing of fastnn."""

import copy

import numpy as np

FUNCTIONS = {
    "Tanh": (lambda x, a: np.tanh(x), lambda x, a: 1 - np.tanh(x) ** 2),
    "Sigmoid": (
        lambda x, a: 1 / (1 + np.exp(-x)),
        lambda x, a: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    ),
    "LeakyReLU": (lambda x, a: np.where(x > 0, x, a * x), lambda x, a: np.where(x > 0, 1, a)),
}
"""Functions of elements and their slopes, with one setting."""


class Number:
    """An array that learns, its gradient, and what an optimizer remembers of it."""

    def __init__(self, value):
        self.value, self.known = np.array(value, np.float64), False
        self.forget()

    def forget(self):
        self.gradient = np.zeros_like(self.value)
        self.memory = [np.zeros_like(self.value) for _ in range(2)]


class Linear:
    """y = x W^T + b."""

    def __init__(self, weight, bias):
        self.weight, self.bias = Number(weight), Number(bias)

    numbers = property(lambda self: [self.weight, self.bias])

    def forward(self, x, training):
        self.x = x
        return x @ self.weight.value.T + self.bias.value

    def backward(self, g):
        self.weight.gradient, self.bias.gradient = g.T @ self.x, g.sum(axis=0)
        return g @ self.weight.value


class Function:
    """y = f(x)."""

    numbers = ()

    def __init__(self, name, setting=0.0):
        self.name, self.setting = name, setting

    def forward(self, x, training):
        self.x = x
        return FUNCTIONS[self.name][0](x, self.setting)

    def backward(self, g):
        return g * FUNCTIONS[self.name][1](self.x, self.setting)


class Norm:
    """y = w (x - mean) / sqrt(var + eps) + b, by the moments of a batch or running ones."""

    def __init__(self, columns, eps, momentum):
        self.weight, self.bias = Number(np.ones(columns)), Number(np.zeros(columns))
        self.mean, self.variance = np.zeros(columns), np.ones(columns)
        self.eps, self.momentum, self.batches = eps, momentum, 0

    numbers = property(lambda self: [self.weight, self.bias])

    def forward(self, x, training):
        mean, variance = (x.mean(axis=0), x.var(axis=0)) if training else (self.mean, self.variance)
        self.root = np.sqrt(variance + self.eps)
        self.z = (x - mean) / self.root
        if training:
            self.batches += 1
            share = 1 / self.batches if self.momentum is None else self.momentum
            self.mean = (1 - share) * self.mean + share * mean
            self.variance = (1 - share) * self.variance + share * x.var(axis=0, ddof=1)
        return self.weight.value * self.z + self.bias.value

    def backward(self, g):
        self.weight.gradient, self.bias.gradient = (g * self.z).sum(axis=0), g.sum(axis=0)
        g = g * self.weight.value
        return (g - g.mean(axis=0) - self.z * (g * self.z).mean(axis=0)) / self.root


def cross_entropy(z, labels):
    """The mean of -log softmax(z)[label], and its gradient."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p, places = e / e.sum(axis=1, keepdims=True), (np.arange(len(z)), labels)
    g = p.copy()
    g[places] -= 1
    return -np.log(p[places]).mean(), g / len(z)


def squared_error(z, numbers):
    """The mean of (z - t)^2 over all elements, and its gradient."""
    return ((z - numbers) ** 2).mean(), 2 * (z - numbers) / z.size


class Optimizer:
    """SGD with momentum, or Adam, over numbers that are known to it."""

    def __init__(self, kind, numbers, lr, momentum, weight_decay, clip_norm):
        self.kind, self.numbers, self.steps = kind, list(numbers), 0
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.clip_norm = clip_norm
        for each in self.numbers:
            each.forget()

    def step(self):
        scale = 1.0
        if self.clip_norm is not None:
            norm = np.sqrt(sum((each.gradient**2).sum() for each in self.numbers))
            scale = min(1.0, self.clip_norm / (norm + 1e-6))
        for each in self.numbers:
            getattr(self, self.kind)(each, each.gradient * scale + self.weight_decay * each.value)
        self.steps += 1

    def SGD(self, each, g):  # noqa: N802
        (speed, _), first = each.memory, self.steps == 0
        speed[...] = g if first else self.momentum * speed + g
        each.value -= self.lr * speed

    def Adam(self, each, g):  # noqa: N802
        (m, v), t = each.memory, self.steps + 1
        m[...] = self.momentum * m + (1 - self.momentum) * g
        v[...] = 0.99 * v + 0.01 * g * g
        change = m / (1 - self.momentum**t) / (np.sqrt(v / (1 - 0.99**t)) + 1e-3)
        each.value -= self.lr * change


class Run:
    """A run of epochs, of which an event tells after a batch and after an epoch."""

    def __init__(self, layers, optimizer, loss, x, y, batch, seed):
        self.layers, self.optimizer, self.loss = layers, optimizer, loss
        self.x, self.y, self.batch = x, np.array(y), batch
        self.rng, self.order = np.random.default_rng(seed), np.arange(len(y))

    def epoch(self, tell=lambda batch: None):
        """Train one epoch and return its mean loss; call `tell` with the number of batches done."""
        self.rng.shuffle(self.order)
        total = 0.0
        for done, start in enumerate(range(0, len(self.y), self.batch), 1):
            rows = self.order[start : start + self.batch]
            z = np.array(self.x[rows], np.float64)
            for layer in self.layers:
                z = layer.forward(z, True)
            loss, g = self.loss(z, self.y[rows])
            for each in self.optimizer.numbers:
                each.gradient = np.zeros_like(each.value)
            for layer in reversed(self.layers):
                g = layer.backward(g)
            self.optimizer.step()
            total += loss * len(rows)
            tell(done)
        return total / len(self.y)


def outputs(layers, x):
    """The outputs of a chain for samples, by running moments."""
    layers = copy.deepcopy(layers)
    z = np.array(x, np.float64)
    for layer in layers:
        z = layer.forward(z, False)
    return z
