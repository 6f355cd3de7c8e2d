from pathlib import Path

import pytest
from PIL import Image

from bitwright.errors import SourceError
from bitwright.images.sources import open_source


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", ".hidden.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    (tmp_path / "list.csv").write_text("path\n")
    source = open_source(tmp_path)
    assert [Path(source.name(i)).name for i in range(len(source))] == ["a.JPG", "b.png"]
    assert source.labels is None
    assert source.classes is None


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected at least one image, found none"):
        open_source(tmp_path)
