import bz2
import gzip
import io
import lzma
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from fastnn import datasets
from fastnn.data.tables.sources import open_source
from fastnn.data.tables.table import TableError
from tables import cells, source

CSV = ("a,b,é\n" + "".join(f"{i},{'xyz'[i % 3]},{i / 2}\n" for i in range(300))).encode()


def zipped(**files):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return memory.getvalue()


def tar():
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as file:
        member = tarfile.TarInfo("rows.csv")
        member.size = len(CSV)
        file.addfile(member, io.BytesIO(CSV))
    return memory.getvalue()


def zstd(content):
    if sys.version_info >= (3, 14):
        from compression import zstd as library
    else:
        library = pytest.importorskip("backports.zstd")
    return library.compress(content)


PACKERS = [gzip.compress, bz2.compress, lzma.compress, zstd, lambda content: zipped(x=content)]


@pytest.mark.parametrize("pack", PACKERS)
def test_compressed_copies_are_read_as_the_file(pack, tmp_path):
    whole = cells(source(CSV).table())
    assert len(whole["a"]) == 300
    path = tmp_path / "rows"
    path.write_bytes(pack(CSV))
    for given in (path, pack(CSV), gzip.compress(pack(CSV))):
        assert cells(open_source(given).table()) == whole
    assert cells(source(pack(CSV.decode().encode("latin-1")), encoding="latin-1").table()) == whole
    assert datasets.load(str(path), target="b").classes == ("x", "y", "z")


@pytest.mark.parametrize("pack", PACKERS)
def test_whatever_is_compressed_is_known_by_its_contents(pack):
    array = io.BytesIO()
    np.save(array, np.arange(6.0).reshape(2, 3))
    assert cells(source(pack(array.getvalue())).table())["2"] == [2, 5]
    assert cells(source(pack(b'{"a": 1}\n{"a": 2}\n')).table()) == {"a": [1, 2]}


def test_files_of_the_system_in_a_zip_file_are_no_tables():
    content = {"d/": b"", "d/rows.csv": CSV, "__MACOSX/d/._rows.csv": b"x", "d/.DS_Store": b"x"}
    assert source(zipped(**content)).names == ("a", "b", "é")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:20]])
def test_a_damaged_file_is_one_error(pack, damage):
    with pytest.raises(TableError, match=r"^rows.csv: found a compressed file that cannot be"):
        source(damage(pack(CSV)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            zipped(**{"a.csv": CSV, "b.csv": CSV}),
            "a zip file of 2 files: a.csv, b.csv; expected one",
        ),
        (zipped(**{f"{i}.csv": CSV for i in range(90)}), "a zip file of 90 files: .* and 85 more"),
        (zipped(), "found a zip file of 0 files; expected one"),
        (
            zipped(mimetype=b"x", **{"content.xml": b"x"}),
            "of OpenDocument; save it as .xlsx or CSV",
        ),
        (tar(), r"found an archive \(tar\); unpack it"),
        (gzip.compress(tar()), r"found an archive \(tar\); unpack it"),
        (bz2.compress(tar()), r"found an archive \(tar\); unpack it"),
        (b"7z\xbc\xaf\x27\x1c", r"found an archive \(7z\); unpack it"),
        (gzip.compress(b""), "found nothing; expected a line of names"),
    ],
    ids=list("abcdefghi"),  # the bytes hold the time of day
)
def test_what_holds_no_table_is_one_error_that_says_what_to_do(content, message):
    with pytest.raises(TableError, match=message) as info:
        source(content)
    assert str(info.value).startswith("rows.csv: found ")
    assert len(str(info.value)) <= 400


def test_a_file_that_holds_itself_ends():
    content = CSV
    for _ in range(9):
        content = gzip.compress(content)
    with pytest.raises(TableError, match="compressed again and again; unpack it"):
        source(content)


def test_a_zip_file_with_a_password():
    content = bytearray(zipped(x=CSV))
    content[6] |= 1  # the flag of encryption, here and in the list of files
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(TableError, match=r"cannot be unpacked: .*password"):
        source(bytes(content))


def test_without_a_library_the_error_says_what_to_install(monkeypatch):
    for name in ("compression", "compression.zstd", "backports", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TableError, match=r"pip install backports.zstd, or unpack it first"):
        source(b"\x28\xb5\x2f\xfd" + bytes(20))


def test_several_compressed_files_that_differ_are_named(tmp_path):
    (tmp_path / "1.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress(b"a,b\n3,4\n"))
    assert cells(open_source(str(tmp_path / "*.gz")).table()) == {"a": [1, 3], "b": [2, 4]}
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress(b"a,c\n3,4\n"))
    with pytest.raises(TableError, match=r"2.csv.gz: found other columns than in .*1.csv.gz"):
        open_source(str(tmp_path / "*.gz"))
