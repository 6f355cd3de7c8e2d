"""Images of one set that are in another are told by their files, or by their pixels."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.errors import SourceWarning
from bitwright.images.sources import ImageSource, open_source
from bitwright.images.sources.overlap import warn_of_shared
from bitwright.images.sources.readers import ArrayReader


def of_levels(levels: list[int], where: str = "set") -> ImageSource:
    pixels = np.full((len(levels), 2, 2), 0, np.uint8) + np.array(levels, np.uint8)[:, None, None]
    return ImageSource(ArrayReader(pixels, where), where)


def said(source: ImageSource, others: ImageSource) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_of_shared(source, others, "trained on")
    assert all(issubclass(warning.category, SourceWarning) for warning in found)
    return [str(warning.message) for warning in found]


def test_arrays_are_told_by_their_pixels() -> None:
    assert said(of_levels([1, 2, 3]), of_levels([4, 5])) == [], "other pixels under the same names"
    (text,) = said(of_levels([1, 2, 3], "a.npz"), of_levels([9, 3, 1, 8], "b.npz").subset([1, 2, 3]))
    assert text.startswith("b.npz: 2 of 3 images are trained on, too (in a.npz)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/1", "a/2", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_files_are_told_by_their_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are written; the same picture in two files is not looked for."""
    assert said(open_source(folder / "a"), open_source(folder / "b")) == []
    (folder / "link").symlink_to(folder / "a")
    monkeypatch.chdir(folder)
    for spelling in ("a", "link", "b/../a/1.png"):
        (text,) = said(open_source(folder / "a"), open_source(spelling))
        assert " images are trained on, too" in text
