import numpy as np
import pytest

import fastnn
from fastnn import plots


def chain(inputs, units):
    return fastnn.Sequential(
        fastnn.Normalize(0, 255), fastnn.Linear(inputs, units, seed=0), fastnn.ReLU()
    )


def images(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_each_unit_is_an_image_of_its_weights_on_one_scale():
    model = chain(12, 5)
    figure = plots.weights(model, (3, 4))
    drawn = images(figure)
    np.testing.assert_array_equal(drawn[:5], model[1].weight.data.reshape(5, 3, 4))
    limits = {axes.images[0].get_clim() for axes in figure.axes if axes.images}
    ((low, high),) = limits
    assert low == -high < 0  # zero is the middle grey


def test_of_many_units_those_with_the_largest_weights_are_shown():
    model = chain(6, 100)
    weight = np.array(model[1].weight.data)
    weight[::2] *= 10
    model[1].weight = weight
    np.testing.assert_array_equal(images(plots.weights(model, (2, 3)))[0].ravel(), weight[0])
    (table,) = images(plots.weights(model))[:1]
    assert table.shape == (64, 6)
    assert {tuple(row) for row in weight[::2]} < {tuple(row) for row in table}


def test_columns_carry_the_names_of_the_inputs():
    figure = plots.weights(chain(3, 4), features=["age", "city=Ulm", "rooms"])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["age", "city=Ulm", "rooms"]


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (fastnn.Sequential(fastnn.ReLU()), None, "no Linear layer"),
        (chain(12, 5), (4, 4), r"image_shape is \(4, 4\); the layer has 12 inputs"),
    ],
)
def test_what_cannot_be_shown_is_an_error(model, shape, message):
    with pytest.raises(ValueError, match=message):
        plots.weights(model, shape)
