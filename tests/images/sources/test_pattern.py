"""Patterns of image files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.errors import SourceError
from bitwright.images.sources import open_source


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, name in enumerate(("b.png", "a.png", "c.jpg", "deep/er/d.png", "[x].png")):
        Path(tmp_path, name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 2, 3), i, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("[ab].png", ["a.png", "b.png"]),
        ("?.*", ["a.png", "b.png", "c.jpg"]),
        ("**/*.png", ["[x].png", "a.png", "b.png", "deep/er/d.png"]),
        ("?.png[1:]", ["b.png"]),
        ("[x].png", ["[x].png"]),  # a file of that very name
    ],
)
def test_the_images_that_match_in_order(here, spec, names):
    source = open_source(spec)
    assert [source.name(i) for i in range(len(source))] == names
    assert source.labels is None


@pytest.mark.parametrize(("spec", "found"), [("*.gif", "found nothing"), ("*.txt", "none of the 1 files is an image")])
def test_nothing_that_matches_is_an_error(here, spec, found):
    with pytest.raises(SourceError, match=found):
        open_source(spec)
