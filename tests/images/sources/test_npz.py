from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright.errors import SourceError
from bitwright.images.sources import open_source

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)


def archive(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz"


def test_images_labels_and_classes(tmp_path: Path) -> None:
    path = archive(tmp_path, images=IMAGES, labels=np.array([1, 0, 1], np.uint8), classes=np.array(["a", "bc"]))
    source = open_source(path)
    np.testing.assert_array_equal(np.asarray(source.read(2)), IMAGES[2])
    assert source.labels is not None
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == [1, 0, 1]
    assert source.classes == ("a", "bc")
    assert source.name(2) == f"{path}[2]"


def test_grey_images_alone_are_enough(tmp_path: Path) -> None:
    source = open_source(archive(tmp_path, images=IMAGES[..., 0]))
    assert (len(source), source.labels, source.classes) == (3, None, None)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": IMAGES}, "expected an array named images, found x; save it anew"),
        ({"images": IMAGES.astype(np.float32)}, "found float32"),
        ({"images": IMAGES[0, 0]}, r"found uint8 \[5, 3\]"),
        ({"images": IMAGES, "labels": np.zeros(2, np.int64)}, "expected 3 labels"),
        ({"images": IMAGES, "labels": np.zeros(3)}, "expected labels of an integer type, found float64"),
        ({"images": IMAGES, "labels": np.array([0, 0, 1]), "classes": np.array(["a"])}, "expected labels 0 to 0"),
        ({"images": IMAGES, "classes": np.array([1, 2])}, "expected classes as text"),
        ({"images": IMAGES, "classes": np.array([{}])}, "pickle"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(archive(tmp_path, **arrays))


def test_damaged_archives_end_in_source_errors_only(tmp_path: Path) -> None:
    path = archive(tmp_path, images=IMAGES, labels=np.arange(3), classes=np.array(["a", "b", "c"]))
    original = np.frombuffer(path.read_bytes(), np.uint8)
    random = np.random.default_rng(3)
    refused = 0
    for attempt in range(200):
        damaged = original.copy()
        if attempt % 4 == 0:
            damaged = damaged[: random.integers(len(damaged))]
        else:
            places = random.integers(0, len(damaged), 4)
            damaged[places] = random.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            open_source(path)
        except SourceError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 100
