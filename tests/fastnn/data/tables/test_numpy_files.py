import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from fastnn.data.tables.table import TableError
from tables import cells, source


def lists(source):
    return cells(source.table())


def saved(array, **arrays):
    file = io.BytesIO()
    np.savez(file, **arrays) if array is None else np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16, bool, ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_columns_by_place(dtype, order):
    array = np.array([[1, 0, 3], [4, 5, 0]], dtype, order=order)
    table = source(saved(array))
    assert not table.named
    assert lists(table) == {str(i): array[:, i].tolist() for i in range(3)}
    assert all(column.dtype == np.dtype(dtype) for column in table.columns.values())


def test_a_file_is_mapped_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(24.0).reshape(2, 3, 4))
    table = source(tmp_path / "a.npy")
    assert len(table.columns) == 12  # pictures are rows of pixels
    base = table.columns["5"]
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


def test_fields_of_a_structure_are_columns_by_name():
    array = np.array([(1.5, "x"), (2.5, "NA")], [("a", "f8"), ("b", "U4")])
    table = source(saved(array))
    assert table.named
    assert lists(table) == {"a": [1.5, 2.5], "b": ["x", None]}


def test_arrays_of_an_archive_are_columns_together():
    x, y = np.arange(6.0).reshape(3, 2), np.array(["a", "b", "c"])
    assert lists(source(saved(None, x=x, y=y))) == {
        "0": [0, 2, 4], "1": [1, 3, 5], "y": ["a", "b", "c"],
    }  # fmt: skip
    two = source(saved(None, a=x, b=x[:, :1]))
    assert list(two.names) == ["a.0", "a.1", "b.0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(np.arange(3)), r"an array of shape \(3,\); expected \(rows, columns\)"),
        (saved(np.zeros((0, 3))), r"shape \(0, 3\)"),
        (saved(np.zeros((2, 2), complex)), "complex128; expected numbers"),
        (
            saved(None, x=np.zeros((3, 2)), y=np.zeros(2)),
            r"x \(3, 2\), y \(2,\); expected arrays of",
        ),
        (saved(None, x=np.zeros(3), y=np.float64(2)), "arrays of one length"),
        (saved(None, x=np.array([1j])), "'x' holds complex128; expected numbers or texts"),
        (saved(None, x=np.array([1], "m8[D]")), "'x' holds timedelta64"),
    ],
)
def test_arrays_that_are_no_table(content, message):
    with pytest.raises(TableError, match=message):
        source(content)


def claiming(shape, dtype="<f8"):
    """The bytes of a .npy file whose header claims a shape."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(80)


SHAPES = [(10**8, 10), (10**12, 10), (2**40, 2**40), (11, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["bytes", "file", "archive", "archive file"])
def test_an_array_that_its_bytes_cannot_hold_is_refused_unread(way, shape, tmp_path):
    content, path = claiming(shape), tmp_path / "x"
    if "archive" in way:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", content)
        content = packed.getvalue()
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="found"):
            source(path if "file" in way else content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6


def test_an_archive_with_something_else_is_refused_unread():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(50_000_000))
        archive.writestr("y.npy", b"")
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="found a file that NumPy cannot read"):
            source(packed.getvalue())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6


def test_pickles_are_not_read():
    file = io.BytesIO()
    np.save(file, np.array([[{"a": 1}]], object), allow_pickle=True)
    with pytest.raises(TableError, match=r"NumPy cannot read: .*[Oo]bject"):
        source(file.getvalue())
