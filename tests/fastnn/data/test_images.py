import io
import os
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import fastnn
from fastnn import datasets
from fastnn.data import images
from fastnn.data.images import Conversion
from processes import python


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def seven(size=(200, 300), ink=20, paper=240, mode="L", at=(60, 40)):
    """A seven of 80 x 120 pixels, `at` a place in a page."""
    image = Image.new(mode, (size[1], size[0]), paper)
    x, y = at
    ImageDraw.Draw(image).line(
        [(x, y), (x + 80, y), (x + 20, y + 120)], fill=ink, width=12, joint="curve"
    )
    return image


def drawn(x, shape=(28, 28)):
    assert x.shape == (1, shape[0] * shape[1])
    assert x.dtype == np.float32
    return x.reshape(shape)


def centre_of_mass(pixels):
    rows, columns = np.indices(pixels.shape)
    return [(each * pixels).sum() / pixels.sum() for each in (rows, columns)]


def test_a_drawing_is_fitted_in_20_and_centred_by_mass():
    pixels = drawn(Conversion()(encoded(seven())))
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] + 1 == 20
    assert 12 <= columns[-1] - columns[0] + 1 <= 16  # as tall and as wide as before
    assert pixels.max() == 255
    assert pixels.min() == 0
    assert np.abs(np.array(centre_of_mass(pixels)) - 14).max() <= 0.51  # whole pixels


ALIKE = {
    "light on dark": seven(ink=240, paper=20),
    "elsewhere on a larger page": seven((500, 700), at=(500, 300)),
    "in colour": seven(mode="RGB", ink=(10, 10, 60), paper=(250, 240, 230)),
    "faint": seven(ink=150),
    "with 16 bits": Image.fromarray(np.asarray(seven()).astype(np.uint16) * 257),
}


@pytest.mark.parametrize("name", ALIKE)
def test_ink_paper_and_place_make_no_difference(name):
    expected = Conversion()(encoded(seven()))
    np.testing.assert_allclose(Conversion()(encoded(ALIKE[name])), expected, atol=8)


@pytest.mark.parametrize("ink", [0, 255])
def test_what_is_transparent_is_paper(ink):
    shape = seven(ink=255, paper=0)
    image = Image.new("LA", shape.size, (ink, 0))
    image.putalpha(shape)
    np.testing.assert_allclose(Conversion()(encoded(image)), Conversion()(encoded(seven())), atol=3)


def test_a_photograph_is_turned_as_its_camera_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = encoded(seven().rotate(90, expand=True), "JPEG", quality=95, exif=exif)
    np.testing.assert_allclose(
        Conversion()(turned), Conversion()(encoded(seven(), "JPEG", quality=95)), atol=40
    )


@pytest.mark.parametrize("invert", [False, True])
def test_a_picture_of_the_right_size_is_taken_as_it_is(invert):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[5:9, 3:20] = np.arange(17) * 15
    given = 255 - pixels if invert else pixels
    np.testing.assert_array_equal(drawn(Conversion()(encoded(Image.fromarray(given)))), pixels)


def test_other_data_sets_have_boxes_and_scales_of_their_own():
    digits = datasets.load("digits").schema.image
    pixels = drawn(digits(encoded(seven())), (8, 8))
    assert pixels.max() == 16
    assert pixels.any(axis=1).all()  # a digit is 8 tall
    clothes = Conversion(box=28, centre="middle")
    assert drawn(clothes(encoded(seven()))).any(axis=1).all()


def test_a_line_is_not_lost():
    image = Image.new("L", (1000, 1000), 255)
    ImageDraw.Draw(image).line([(100, 500), (900, 510)], fill=0, width=2)
    pixels = drawn(Conversion()(encoded(image)))
    assert pixels.max() == 255
    assert pixels.any(axis=0).sum() == 20


def test_a_path_is_read(tmp_path):
    seven().save(tmp_path / "seven.png")
    np.testing.assert_array_equal(
        Conversion()(tmp_path / "seven.png"), Conversion()(encoded(seven()))
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no picture"),
        (b"age,city", "no picture"),
        (encoded(seven())[:300], "damaged picture"),
        (encoded(Image.new("L", (100, 100), 255)), "one shade"),
    ],
)
def test_what_is_no_picture_is_an_error_that_names_the_file(content, message, tmp_path):
    path = tmp_path / "seven.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as info:
        Conversion()(path)
    assert str(path) in str(info.value)


@pytest.mark.parametrize(
    "wrong",
    [{"shape": (0, 3)}, {"shape": 28}, {"shape": (28.0, 28)}, {"box": 0}, {"box": 29}, {"box": "a"},
     {"shape": (2001, 2000)}, {"top": 0}, {"top": float("nan")}, {"top": "x"}, {"centre": "edge"}],
)  # fmt: skip
def test_a_conversion_is_checked(wrong):
    with pytest.raises(ValueError, match="expected"):
        Conversion(**wrong)


@pytest.mark.skipif("FASTNN_DATA" not in os.environ, reason="needs MNIST")
def test_mnist_itself_survives_being_enlarged_inverted_and_moved():
    data = datasets.load("mnist", subset=6000, test_subset=200)
    model = fastnn.Sequential(
        fastnn.Normalize(0, 255), fastnn.Linear(784, 64, seed=0), fastnn.ReLU(),
        fastnn.Linear(64, 10, seed=1),
    )  # fmt: skip
    fastnn.fit(
        model, data.x_train, data.y_train, loss=fastnn.CrossEntropyLoss(),
        optimizer=fastnn.Adam(model.parameters(), lr=0.003), epochs=5, batch_size=32, seed=0,
    )  # fmt: skip
    rows = []
    for row in data.x_test:
        page = Image.new("L", (500, 400), 245)
        big = Image.fromarray(255 - row.reshape(28, 28)).resize(
            (196, 196), Image.Resampling.BICUBIC
        )
        page.paste(big.point(lambda level: level * 245 // 255), (250, 20))
        rows.append(data.schema.image(encoded(page, "JPEG", quality=80))[0])
    converted = fastnn.predict(model, np.array(rows)).argmax(axis=1)
    original = fastnn.predict(model, data.x_test).argmax(axis=1)
    assert (original == data.y_test).mean() > 0.9
    assert (converted == original).mean() > 0.95


# ---------------------------------------------------------------- pictures of very many pixels


def taken(job):
    """Run code in a process of its own; return the most memory it took beyond the imports, MB."""
    program = f"""
import resource, sys
from PIL import Image, ImageOps
from fastnn.data import images
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
Image.init()
before = peak()
{job}
print(peak() - before)
"""
    return int(python(program).stdout)


def png(width, height, kind):
    """A PNG of zeros, without ever holding its pixels; `kind` is the header's bits and colours."""

    def chunk(name, content):
        return (
            len(content).to_bytes(4, "big") + name + content
            + zlib.crc32(name + content).to_bytes(4, "big")
        )  # fmt: skip

    bits, colours = kind
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    row = b"\0" * (1 + -(-width * bits * channels // 8))
    packed = zlib.compressobj()
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, colours, 0, 0, 0])
    palette = chunk(b"PLTE", bytes(6)) if colours == 3 else b""
    start, end = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")
    return start + chunk(b"IHDR", header) + palette + chunk(b"IDAT", data) + end


def large_seven():
    image = Image.new("L", (900, 1100), 240)
    lines = [(150, 200), (750, 200), (350, 950)]
    ImageDraw.Draw(image).line(lines, fill=20, width=90, joint="curve")
    return image


KINDS = {"1 bit": (1, 0), "grey": (8, 0), "deep": (16, 0), "palette": (8, 3), "see-through": (8, 6)}


@pytest.mark.parametrize("side", [9000, 14_000, 65_000])
def test_a_picture_of_too_many_pixels_is_refused(side, recwarn):
    content = png(side, side, (1, 0))
    with pytest.raises(ValueError, match=r"x: found a picture of too many pixels.*80,000,000"):
        images._opened(content, "x")
    assert not recwarn.list


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_large_picture_takes_little_more_memory_than_its_pixels(kind, tmp_path):
    side = 8900
    assert side**2 < images.MOST_PIXELS < 9000**2
    (tmp_path / "x.png").write_bytes(png(side, side, kind))
    job = f"assert images._opened(open({str(tmp_path / 'x.png')!r}, 'rb').read(), 'x').size < 5e6"
    assert taken(job) < 600


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16", "F", "CMYK"])
def test_a_picture_that_is_reduced_is_the_same_picture(kind, mode, monkeypatch):
    image = large_seven()
    if mode == "1":
        image = image.point(lambda level: 255 * (level > 127))  # not dithered
    deep = image.convert("I").point(lambda level: level * 200) if mode == "I;16" else image
    if mode == "RGBA":
        image = Image.merge("RGBA", (*[image] * 3, image.point(lambda level: 255 - level)))
    if mode == "I;16" and kind not in ("PNG", "TIFF"):
        pytest.skip("not a mode of this format")
    try:
        content = encoded(deep.convert(mode) if mode != "RGBA" else image, kind)
    except (OSError, ValueError):
        pytest.skip("not a mode of this format")
    whole = Conversion()(content)
    monkeypatch.setattr(images, "_ENOUGH_PIXELS", 100_000)
    reduced = Conversion()(content)
    assert reduced.shape == whole.shape
    assert np.abs(reduced - whole).mean() < 4  # of 255
    assert not np.array_equal(reduced, whole)


def test_a_reduced_photograph_is_turned_as_its_camera_says(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG"):
        content = encoded(large_seven(), kind, exif=exif)
        with monkeypatch.context() as patch:
            patch.setattr(images, "_ENOUGH_PIXELS", 100_000)
            reduced = Conversion()(content)
        assert np.abs(reduced - Conversion()(content)).mean() < 4


def test_of_an_animation_the_first_picture_is_taken():
    frames = [Image.new("L", (300, 200), 255)] * 3
    for kind in ("GIF", "WEBP"):
        content = encoded(seven(), kind, save_all=True, append_images=frames)
        expected = Conversion()(encoded(seven(), kind))
        assert np.abs(Conversion()(content) - expected).mean() < 4


@pytest.mark.parametrize(
    "content",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"P5 9 9 255\n" + bytes(81)],
)
def test_formats_that_are_not_named_are_not_read(content):
    """Pillow starts a program for PostScript."""
    with pytest.raises(ValueError, match="found no picture; expected PNG, JPEG, GIF, BMP, WEBP or"):
        Conversion()(content)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]))
def test_a_damaged_picture_is_a_picture_or_refused(data, kind):
    content = bytearray(encoded(seven((60, 80), at=(5, 5)), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        with np.errstate(all="ignore"):
            Conversion()(bytes(content))
    except ValueError as error:
        said = str(error)
    else:
        return
    assert said.startswith("the picture: found")
