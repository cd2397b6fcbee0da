"""Conversion of pictures of any size to the rows of pixels that a network expects."""

from __future__ import annotations

import io
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 80_000_000
"""Most pixels of a picture; one with more is refused."""
_ENOUGH_PIXELS = 4_000_000  # a larger picture is reduced while it is read
_BAND = 64  # rows of the reduced picture
_FORMATS = "PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"  # Pillow would run programs for others
_LEAST_CONTRAST = 16  # grey levels; a picture with less contrast counts as empty
_FAINTEST = 0.1  # share of full ink below which a pixel counts as ground: noise, JPEG artefacts
_CENTRES = ("mass", "middle")


@dataclass(frozen=True)
class Conversion:
    """Conversion of a picture to light ink on a dark ground, of fixed size and position.

    `shape` is (height, width) of the result. The drawing is cropped, scaled until its longer side
    is `box` pixels, and centred by its centre of mass (`centre` "mass") or by its bounding box
    ("middle"); `top` is the value of full ink. A picture of this shape is not moved or resized,
    only scaled to `top`, and inverted if it is dark on light.

    MNIST's digits were fitted to 20x20 pixels and centred by mass in 28x28 (LeCun, Cortes and
    Burges, "The MNIST database of handwritten digits").

    Raises ValueError for sizes that are not positive, a box larger than the shape, or an unknown
    centre.
    """

    shape: tuple[int, int] = (28, 28)
    box: int = 20
    top: float = 255.0
    centre: str = "mass"

    def __post_init__(self) -> None:
        shape = self.shape
        if not (
            isinstance(shape, tuple)
            and len(shape) == 2
            and all(type(side) is int and side >= 1 for side in shape)
            and math.prod(shape) <= _ENOUGH_PIXELS
            and type(self.box) is int
            and 1 <= self.box <= min(shape)
        ):
            raise ValueError(
                f"shape is {shape!r} and box {self.box!r}; expected two positive integers, of "
                f"{_ENOUGH_PIXELS:,} pixels at most, and one that is not above them"
            )
        if not (isinstance(self.top, (int, float)) and 0 < self.top < float("inf")):
            raise ValueError(f"top is {self.top!r}; expected a positive number")
        if self.centre not in _CENTRES:
            raise ValueError(f"centre is {self.centre!r}; expected one of {', '.join(_CENTRES)}")

    def __call__(self, source: str | os.PathLike[str] | bytes) -> np.ndarray:
        """Return the pixels of a picture, float32 (1, height * width) from 0 to `top`.

        `source` is a path, or the bytes of a file: PNG, JPEG, GIF, BMP, WebP or TIFF, of an
        animation the first picture. One of more than 4 million pixels is reduced while it is
        read. Raises ValueError if it is not a picture, has more than `MOST_PIXELS`, or is empty,
        OSError if the file cannot be read.
        """
        name = "the picture" if isinstance(source, bytes) else os.fspath(source)
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        grey = _light_on_dark(_opened(content, name))
        if grey.shape != self.shape:
            grey = self._placed(_cut_out(grey, name))
        return (grey * (self.top / 255)).astype(np.float32).reshape(1, -1)

    def _placed(self, ink: np.ndarray) -> np.ndarray:
        """Return a drawing scaled to the box and centred on a dark ground."""
        drawing = _scaled(ink, self.box)
        if self.centre == "mass":
            rows, columns = np.indices(drawing.shape)
            middle = [float((each * drawing).sum() / drawing.sum()) for each in (rows, columns)]
            # MNIST's centres of mass lie at about pixel 14 of 0 to 27.
            corner = [round(s // 2 - m) for s, m in zip(self.shape, middle, strict=True)]
        else:
            corner = [(s - d) // 2 for s, d in zip(self.shape, drawing.shape, strict=True)]
        top, left = (
            int(np.clip(c, 0, s - d))
            for c, s, d in zip(corner, self.shape, drawing.shape, strict=True)
        )
        result = np.zeros(self.shape)
        result[top : top + drawing.shape[0], left : left + drawing.shape[1]] = drawing
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, from which `from_dict` makes the same conversion."""
        return {**vars(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, plain: Any) -> Conversion:
        """Return a conversion from the values of `to_dict`; raise ValueError for other values."""
        if not isinstance(plain, dict) or plain.keys() != {"shape", "box", "top", "centre"}:
            raise ValueError(f"found {plain!r}; expected shape, box, top and centre of a picture")
        shape = tuple(plain["shape"]) if isinstance(plain["shape"], list) else plain["shape"]
        return cls(shape, plain["box"], plain["top"], plain["centre"])


def _opened(content: bytes, name: str) -> np.ndarray:
    """Return the grey levels of a picture, float64 (height, width) from 0 to 255."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content), formats=_FORMATS)
        with opened:
            if math.prod(opened.size) > MOST_PIXELS:
                raise Image.DecompressionBombError
            return _grey(ImageOps.exif_transpose(_reduced(opened)))
    except Image.DecompressionBombError:
        raise ValueError(
            f"{name}: found a picture of too many pixels; expected at most {MOST_PIXELS:,}"
        ) from None
    except UnidentifiedImageError:
        raise ValueError(
            f"{name}: found no picture; expected {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # those of Pillow's decoders have no common base
        raise ValueError(f"{name}: found a damaged picture: {error}") from error


def _reduced(image: Image) -> Image:
    """Return a picture with means of squares of pixels, until there are not too many.

    It is converted band by band, so that what is large is in memory only once.
    """
    import PIL.Image
    from PIL import ExifTags

    factor = _factor(image)
    if factor == 1:
        return image
    image.draft("", (image.width // factor, image.height // factor))  # JPEG decodes small ones
    factor = _factor(image)
    small = PIL.Image.new(_mode(image), (-(-image.width // factor), -(-image.height // factor)))
    for top in range(0, small.height, _BAND):
        bottom = min(image.height, (top + _BAND) * factor)
        band = _plain(image.crop((0, top * factor, image.width, bottom)))
        small.paste(band.reduce(factor), (0, top))
    turned = ExifTags.Base.Orientation
    if turned in (exif := image.getexif()):
        small.getexif()[turned] = exif[turned]
    return small


def _factor(image: Image) -> int:
    """Return the side of squares of pixels that a picture has too many of."""
    return max(1, math.ceil(math.sqrt(math.prod(image.size) / _ENOUGH_PIXELS)))


def _mode(image: Image) -> str:
    """Return the mode of a picture's grey levels: of many bits, see-through, or plain."""
    if image.mode == "F" or image.mode.startswith("I"):
        return "F"
    return "LA" if image.has_transparency_data else "L"


def _plain(image: Image) -> Image:
    """Return a picture in its mode of grey levels."""
    deep = image.mode.startswith("I;")  # which Pillow does not convert to floats
    return (image.convert("I") if deep else image).convert(_mode(image))


def _grey(image: Image) -> np.ndarray:
    if _mode(image) == "F":
        levels = np.asarray(image, np.float64)
        return levels * (255 / max(levels.max(), 1))
    if not image.has_transparency_data:
        return np.asarray(image.convert("L"), np.float64)
    grey, alpha = (np.asarray(each, np.float64) for each in image.convert("LA").split())
    # Transparent pixels are ground: white under dark ink, black under light ink.
    light = (grey * alpha).sum() > 127.5 * alpha.sum()
    return (grey * alpha + (0 if light else 255) * (255 - alpha)) / 255


def _light_on_dark(grey: np.ndarray) -> np.ndarray:
    """Return a picture with a dark ground: inverted if its edge is light."""
    return 255 - grey if _edge(grey) > 127.5 else grey


def _edge(grey: np.ndarray) -> float:
    """Return the grey level of the ground: the median along the edge."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def _cut_out(grey: np.ndarray, name: str) -> np.ndarray:
    """Return the drawing, the pixels lighter than the ground, cropped, as ink from 0 to 1."""
    ink = np.clip(grey - _edge(grey), 0, None)
    if ink.max() < _LEAST_CONTRAST:
        raise ValueError(f"{name}: found a picture of one shade; expected something drawn on it")
    ink /= ink.max()
    ink[ink < _FAINTEST] = 0
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(ink: np.ndarray, box: int) -> np.ndarray:
    """Return ink scaled until its longer side is `box` pixels and its maximum 255."""
    from PIL import Image

    height, width = (max(1, round(side * box / max(ink.shape))) for side in ink.shape)
    image = Image.fromarray(ink.astype(np.float32))  # floats keep the shades of thin lines
    scaled = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    scaled = np.clip(scaled, 0, None)
    return scaled * (255 / scaled.max())
