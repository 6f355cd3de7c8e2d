from pathlib import Path

import pytest
from PIL import Image

from bitwright.errors import ImageError
from bitwright.images.sources import open_source


def test_one_image_is_a_source_of_one(tmp_path: Path) -> None:
    path = tmp_path / "one.PNG"
    Image.new("RGB", (3, 2), (1, 2, 3)).save(path)
    source = open_source(path)
    assert (len(source), source.labels, source.classes, source.name(0)) == (1, None, None, str(path))
    image = source.read(0)
    assert isinstance(image, Image.Image)
    assert image.getpixel((2, 1)) == (1, 2, 3)


def test_it_is_found_bad_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"")
    source = open_source(path)
    with pytest.raises(ImageError, match=r"bad\.jpg: not an image"):
        source.read(0)
