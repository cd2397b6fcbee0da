"""Image data sets in IDX files: their locations, downloads and format."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DIGIT_CLASSES = tuple("0123456789")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGE_SHAPE = (28, 28)

_READ_BYTES = 1 << 20
_MAX_DEFLATE_RATIO = 1032  # bytes that one byte of deflate can expand to at most


class DownloadError(OSError):
    """Error of `mnist` and `fashion_mnist`: no mirror of the files could be read."""


@dataclass(frozen=True)
class _Source:
    """Mirrors, classes and checksums of an image data set."""

    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    train_labels_crc32: int
    sha256: Mapping[str, str]


_TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
_TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
_FILES = (*_TRAIN, *_TEST)

_SOURCES = {
    "mnist": _Source(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        classes=DIGIT_CLASSES,
        train_labels_crc32=0xBA07E8EF,
        sha256={
            _TRAIN[0]: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            _TRAIN[1]: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            _TEST[0]: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            _TEST[1]: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": _Source(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        classes=FASHION_CLASSES,
        train_labels_crc32=0x2ED6E46A,
        sha256={
            _TRAIN[0]: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            _TRAIN[1]: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            _TEST[0]: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            _TEST[1]: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}


def read(
    name: str, folder: str | os.PathLike[str] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images and labels, then test images and labels, of the data set `name`.

    Images are uint8 (n, 784), labels int64 (n,). The four files are read from `folder` or the
    folder in FASTNN_DATA, in its subfolder `name` if it exists; without a folder they are
    downloaded. Raises FileNotFoundError if the folder lacks files, ValueError for a damaged file,
    and `DownloadError` (an OSError) if no mirror answers.
    """
    paths = _find_files(name, folder)
    train = _read_split(name, *(paths[file] for file in _TRAIN))
    return (*train, *_read_split(name, *(paths[file] for file in _TEST)))


def _find_files(name: str, folder: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Return the paths of the four files; download them if no folder is given."""
    folder = folder or os.environ.get("FASTNN_DATA")
    if not folder:
        downloaded = _download(name)
        return {file: downloaded / file for file in _FILES}
    root = Path(folder).expanduser()
    # All data sets use the same file names, so the data set's own subfolder comes first.
    if (root / name).is_dir():
        root = root / name
    found = {file: _packed_or_plain(root / file) for file in _FILES}
    missing = [file for file, path in found.items() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"data set {name!r}: the folder {root} lacks {', '.join(missing)} (gzipped or plain)"
        )
    return found


def _packed_or_plain(path: Path) -> Path:
    return path if path.is_file() else path.with_suffix("")


def _download(name: str) -> Path:
    """Return the cache folder of the four files, downloaded from the first mirror that answers."""
    import platformdirs

    source = _SOURCES[name]
    folder = Path(platformdirs.user_cache_dir("fastnn")) / name
    if all(_has_sha256(folder / file, sha256) for file, sha256 in source.sha256.items()):
        return folder

    import pooch

    failures = []
    for mirror in source.mirrors:
        try:
            for file, sha256 in source.sha256.items():
                pooch.retrieve(mirror + file, f"sha256:{sha256}", fname=file, path=folder)
        except (OSError, ValueError) as error:  # no answer, or the wrong bytes
            failures.append(f"  {mirror}{file}: {error}")
        else:
            return folder
    raise DownloadError(
        f"data set {name!r} could not be downloaded into {folder}; mirrors tried:\n"
        + "\n".join(failures)
        + f"\nSet FASTNN_DATA to a folder that holds the four files: {', '.join(_FILES)}"
    )


def _has_sha256(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _read_split(name: str, images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images as uint8 (n, 784) and their labels as int64 (n,)."""
    count, *shape = _read_idx(images, 3, _shape)
    if tuple(shape) != IMAGE_SHAPE:
        raise ValueError(f"{images}: found images of {tuple(shape)}, expected {IMAGE_SHAPE}")
    if (count,) != (labelled := _read_idx(labels, 1, _shape)):
        raise ValueError(f"{images}: found {count} images, expected {labelled[0]}, as in {labels}")
    y = _read_idx(labels, 1)
    n_classes = len(_SOURCES[name].classes)
    if y.max() >= n_classes:
        raise ValueError(f"{labels}: found label {y.max()}, expected 0 to {n_classes - 1}")
    for other, source in _SOURCES.items():
        if other != name and zlib.crc32(y.data) == source.train_labels_crc32:
            raise ValueError(f"{labels}: found the labels of {other!r}, expected those of {name!r}")
    x = _read_idx(images, 3)
    return x.reshape(len(x), -1), y.astype(np.int64)


def _shape(path: Path, stream: io.BufferedIOBase, ndim: int, limit: int) -> tuple[int, ...]:
    """Return the shape in a header; raise ValueError if a file of this size cannot hold that."""
    header = stream.read(4 + 4 * ndim)
    magic = bytes((0, 0, 8, ndim))  # 8: the elements are unsigned bytes
    if header[:4] != magic:
        raise ValueError(f"{path}: found magic {header[:4].hex()!r}, expected {magic.hex()!r}")
    if len(header) < 4 + 4 * ndim:
        raise ValueError(f"{path}: found a header of {len(header)} bytes, expected {4 + 4 * ndim}")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    expected = math.prod(shape)
    if expected == 0:
        raise ValueError(f"{path}: found a header for no data, shape {shape}, expected some")
    if expected > limit:
        raise ValueError(
            f"{path}: found a file of at most {limit} bytes, expected {expected} for shape {shape}"
        )
    return shape


def _array(path: Path, stream: io.BufferedIOBase, ndim: int, limit: int) -> np.ndarray:
    """Return the array in a file."""
    array = np.empty(_shape(path, stream, ndim, limit), np.uint8)
    expected, filled = array.size, _fill(stream, array.data.cast("B"))
    if filled < expected:
        raise ValueError(f"{path}: found {filled} bytes of data, expected {expected}: truncated")
    if stream.read(1):  # reading to the end also makes gzip verify its checksum
        raise ValueError(f"{path}: found more than the expected {expected} bytes of data")
    return array


def _read_idx(path: Path, ndim: int, read: Callable[..., Any] = _array) -> Any:
    """Return what `read` finds in an IDX file of uint8 and `ndim` dimensions, gzipped or not.

    Raises ValueError, with the path, if the file is damaged or of another type.
    """
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        limit = path.stat().st_size * (_MAX_DEFLATE_RATIO if gzipped else 1)
        try:
            with gzip.GzipFile(fileobj=file) if gzipped else file as stream:
                return read(path, stream, ndim, limit)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path}: found a damaged gzip stream ({error}), expected a whole file"
            ) from error


def _fill(stream: io.BufferedIOBase, buffer: memoryview) -> int:
    """Fill `buffer` from `stream` and return the number of bytes read."""
    filled = 0
    while filled < len(buffer):
        # In pieces, because GzipFile.readinto allocates a bytes object of the buffer's size.
        count = stream.readinto(buffer[filled : filled + _READ_BYTES])
        if not count:
            break
        filled += count
    return filled
