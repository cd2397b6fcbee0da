import numpy as np
import pytest
import torch

from fastnn import Linear, ReLU, Sequential


def chain(dtype=np.float32, seed=0):
    return Sequential(
        Linear(4, 6, dtype=dtype, seed=seed), ReLU(), Linear(6, 3, dtype=dtype, seed=1)
    )


def net(dtype=torch.float32):
    return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).to(
        dtype
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_tensors_of_any_width(kind, dtype):
    theirs, model = net(kind), chain(dtype)
    assert model.load_state_dict(theirs.state_dict()) == ([], [])
    expected = torch.float64 if dtype is np.float64 else torch.float32
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(
            model.state_dict()[name], tensor.to(expected).numpy(), strict=True
        )


def test_tensors_that_learn():
    theirs, model = net(), chain()
    model.load_state_dict(dict(theirs.named_parameters()))
    np.testing.assert_array_equal(model[2].weight, theirs[2].weight.detach().numpy())


def test_tensors_in_another_order_in_memory():
    model, state = chain(), chain(seed=5).state_dict()
    state["0.weight"] = torch.from_numpy(state["0.weight"].T.copy()).T
    model.load_state_dict(state)
    np.testing.assert_array_equal(model[0].weight, state["0.weight"].numpy())


def test_a_model_s_own_parameters_are_a_state():
    model, other = chain(), chain(seed=5)
    model.load_state_dict(dict(other.named_parameters()))
    np.testing.assert_array_equal(model[0].weight, other[0].weight.data)


def test_every_mismatch_is_named_and_nothing_is_copied():
    model = chain()
    before = model.state_dict()
    state = {
        "0.weight": torch.zeros(4, 6), "0.bias": np.zeros(6), "2.bias": np.zeros((3, 1)),
        "fc.weight": np.zeros(3), 7: np.zeros(2),
    }  # fmt: skip
    with pytest.raises(KeyError) as caught:
        model.load_state_dict(state)
    assert caught.value.args[0] == (
        "state does not fit the model: missing 2.weight; unknown fc.weight, 7; "
        "0.weight has shape (6, 4), in the state (4, 6); "
        "2.bias has shape (3,), in the state (3, 1)"
    )
    with pytest.raises(ValueError, match=r"0.weight has shape .*; 2.bias has shape"):
        model.load_state_dict(state, strict=False)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_what_was_not_copied_is_told():
    keys = chain().load_state_dict({"2.bias": [1, 2, 3], "3.bias": [1]}, strict=False)
    assert keys.missing_keys == ["0.weight", "0.bias", "2.weight"]
    assert keys.unexpected_keys == ["3.bias"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", "b", "c"], "2.bias holds <U1; expected numbers"),
        (np.array([1, None, "x"], object), "2.bias holds object; expected numbers"),
        (np.zeros(3, complex), "2.bias holds complex128; expected numbers"),
        ([[1], [1, 2]], "2.bias cannot be read as an array"),
        (torch.zeros(3, device="meta"), "2.bias cannot be read as an array"),
        (torch.zeros(3).to_sparse(), "2.bias cannot be read as an array"),
        (None, "2.bias holds object; expected numbers"),
    ],
)
def test_values_that_are_no_numbers(value, message):
    model = chain()
    before = model.state_dict()
    with pytest.raises(TypeError, match=message) as caught:
        model.load_state_dict({**chain(seed=5).state_dict(), "2.bias": value})
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(model[0].weight, before["0.weight"])


@pytest.mark.parametrize("state", [[], None, "model.safetensors", 3])
def test_a_state_that_is_no_mapping(state):
    with pytest.raises(TypeError, match="expected a mapping of names to arrays"):
        chain().load_state_dict(state)
