"""The work of `fastnn train mnist --hidden 128` by PyTorch: a script whose memory is measured.

    python mnist_torch.py EPOCHS ROWS FILE

trains 784-128-10 on the first rows of MNIST, evaluates it, and saves the weights.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from fastnn import datasets
from fastnn.interop.torch_steps import train_epoch

_BATCH = 64


def _floats(x: Tensor) -> Tensor:
    return x.float().div_(255)


def main(epochs: int, rows: int, file: str) -> None:
    """Train on the first rows, print the test accuracy, and save the weights."""
    digits = datasets.load("mnist")
    x, y = torch.from_numpy(digits.x_train)[:rows], torch.from_numpy(digits.y_train)[:rows]
    x_test, y_test = torch.from_numpy(digits.x_test), torch.from_numpy(digits.y_test)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)

    def loss_of(some: Tensor, right: Tensor) -> Tensor:
        return loss_function(model(_floats(some)), right)

    for _ in range(epochs):
        train_epoch(loss_of, optimizer, x, y, torch.randperm(len(x)).split(_BATCH))
    with torch.no_grad():
        hits = [
            model(_floats(some)).argmax(1) == right
            for some, right in zip(x_test.split(256), y_test.split(256), strict=True)
        ]
    print(f"test accuracy {torch.cat(hits).float().mean():.4f}")
    torch.save(model.state_dict(), file)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
