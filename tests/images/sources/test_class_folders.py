from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.errors import SourceError
from bitwright.images.sources import open_source


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)


def test_sorted_names_are_the_classes(tmp_path: Path) -> None:
    for name in ("dog/b.JPEG", "dog/a.png", "cat/deep/er/x.jpg", "ant/z.bmp", "ant/.hidden.png", ".git/i.png"):
        picture(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "README.md").write_text("no image")
    (tmp_path / "bee").mkdir()
    source = open_source(tmp_path)
    assert source.classes == ("ant", "bee", "cat", "dog")
    assert source.labels is not None
    assert source.labels.tolist() == [0, 2, 3, 3]
    names = [str(Path(source.name(i)).relative_to(tmp_path)) for i in range(4)]
    assert names == ["ant/z.bmp", "cat/deep/er/x.jpg", "dog/a.png", "dog/b.JPEG"]
    assert np.asarray(source.read(1)).shape == (2, 2, 3)


def test_class_folders_may_be_links(tmp_path: Path) -> None:
    picture(tmp_path / "real" / "x.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "real")
    source = open_source(tmp_path / "set")
    assert (source.classes, len(source)) == (("linked",), 1)


def test_images_outside_the_class_folders_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "x.png")
    picture(tmp_path / "y.png")
    with pytest.raises(SourceError, match="found 1 images in 1 folders and 1 outside"):
        open_source(tmp_path)


def test_empty_class_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(SourceError, match="found 0 images in 1 folders"):
        open_source(tmp_path)
