import numpy as np
import pytest

from fastnn.reports import pictures

RNG = np.random.default_rng(0)


def test_points_in_the_colours_of_their_classes():
    x, classes = RNG.random((50, 2)), np.arange(50) % 2
    figure = pictures.points(x, classes, ("outside", "inside"), wrong=np.arange(50) < 7)
    outside, inside, wrong = figure.axes[0].collections
    np.testing.assert_allclose(outside.get_offsets(), x[::2])
    np.testing.assert_allclose(inside.get_offsets(), x[1::2])
    np.testing.assert_allclose(wrong.get_offsets(), x[:7])
    assert wrong.get_label() == "wrong (7 of 50)"


@pytest.mark.parametrize("panels", [1, 3, 5])
def test_a_surface_for_each_epoch(panels):
    moments = {epoch: RNG.uniform(-1, 1, (8, 8)) for epoch in range(1, panels + 1)}
    figure = pictures.surfaces(moments)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [f"epoch {epoch}" for epoch in moments]
    for axes, values in zip(shown, moments.values(), strict=True):
        np.testing.assert_allclose(axes.get_images()[0].get_array(), values)


def test_a_surface_without_a_border_is_drawn_too():
    pictures.surfaces({1: np.ones((8, 8))}).canvas.draw()


def test_signed_images_share_a_scale_with_zero_in_the_middle():
    pixels = RNG.normal(size=(10, 4, 4))
    figure = pictures.images(pixels, list("0123456789"), signed=True)
    limits = {axes.get_images()[0].get_clim() for axes in figure.axes}
    bound = np.abs(pixels).max()
    assert limits == {(-bound, bound)}
    assert [axes.get_title() for axes in figure.axes] == list("0123456789")


def test_dead_logits_are_masked_and_others_shaded():
    shares = np.array([[0.2, 0.0, 0.5], [0.3, 0.0, 0.0]])
    figure = pictures.awake(shares, ("a", "b", "c"))
    image = figure.axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(image.mask, (shares == 0).T)
    np.testing.assert_allclose(image.compressed(), [0.2, 0.3, 0.5])
