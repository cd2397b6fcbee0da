import pytest
import torch

from fastnn.interop.torch_steps import accuracy, train_epoch


def test_a_step_for_each_batch_clipped_in_between():
    weight = torch.tensor([2.0], requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    x, y, seen = torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3), []

    def loss_of(some, wanted):
        seen.append((some.tolist(), weight.item()))
        return ((some * weight) - wanted).sum()

    def clip():
        weight.grad.clamp_(max=0.5)

    batches = torch.tensor([2, 0, 1]).split(2)
    train_epoch(loss_of, optimizer, x, y, batches, clip)
    assert seen == [([3.0, 1.0], 2.0), ([2.0], 1.5)]
    assert weight.item() == 1.0
    train_epoch(loss_of, optimizer, x, y, batches)
    assert weight.item() == 1.0 - 6.0


@pytest.mark.parametrize("targets", [[0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.0, 1.0]]])
def test_accuracy_of_indices_and_of_rows(targets):
    outputs = torch.tensor([[3.0, 1.0], [0.0, 1.0], [0.5, 0.2]])
    assert accuracy(outputs, torch.tensor(targets)) == pytest.approx(2 / 3)
