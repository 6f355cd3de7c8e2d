import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from bitwright.errors import SourceError
from bitwright.images.sources import open_source

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("images_gz", ["", ".gz"])
@pytest.mark.parametrize("labels_gz", ["", ".gz"])
@pytest.mark.parametrize("dot", ["-", "."])
def test_labels_are_found_beside_the_images(tmp_path: Path, images_gz: str, labels_gz: str, dot: str) -> None:
    path = write(tmp_path / f"my-images{dot}idx3-ubyte{images_gz}", idx(IMAGES))
    write(tmp_path / f"my-labels{dot}idx1-ubyte{labels_gz}", idx(np.array([7, 0, 2], np.uint8)))
    write(tmp_path / f"other-labels{dot}idx1-ubyte", idx(np.zeros(3, np.uint8)))
    source = open_source(path)
    np.testing.assert_array_equal(np.asarray(source.read(1)), IMAGES[1])
    assert source.labels is not None
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == [7, 0, 2]


def test_images_without_labels(tmp_path: Path) -> None:
    assert open_source(write(tmp_path / "images-idx3-ubyte", idx(IMAGES))).labels is None


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected an IDX header for uint8 with 3 sizes, found nothing"),
        (idx(IMAGES)[:15], "expected an IDX header"),
        (idx(IMAGES[0]), "found 00 00 08 02"),
        (b"\0\0\x0d\3" + idx(IMAGES)[4:], "found 00 00 0d 03"),
        (idx(IMAGES)[:-1], "expected 60 bytes for .*, found only 59"),
        (idx(IMAGES) + b"\0", "expected 60 bytes for .*, found more"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "cannot read it|expected .* bytes"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, suffix: str, data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(write(tmp_path / f"x-images-idx3-ubyte{suffix}", data))


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x-images-idx3-ubyte.gz"
    for data in (b"no gzip", gzip.compress(idx(IMAGES))[:-20], gzip.compress(idx(IMAGES))[:10] + b"\x07" * 40):
        path.write_bytes(data)
        with pytest.raises(SourceError, match="cannot read it"):
            open_source(path)


def test_labels_of_another_number_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x-images-idx3-ubyte", idx(IMAGES))
    write(tmp_path / "x-labels-idx1-ubyte", idx(np.zeros(2, np.uint8)))
    with pytest.raises(SourceError, match="expected 3 labels"):
        open_source(path)


def test_mnist(data_dir: Path) -> None:
    source = open_source(data_dir / "mnist" / "t10k-images-idx3-ubyte.gz[:100]")
    assert np.asarray(source.read(0)).shape == (28, 28)
    assert source.labels is not None
    assert source.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
