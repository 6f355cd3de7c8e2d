"""Images at URIs, opened by fsspec: folders, class folders and manifests are what they are as paths."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitwright as bw
from bitwright.cli import main
from bitwright.errors import ImageError, SourceError
from bitwright.scale import remote

pytest.importorskip("fsspec")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate(("a/1.png", "a/2.png", "b/3.png")):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 40 * i, np.uint8)).save(path)
    (tmp_path / "set" / "b" / "notes.txt").write_text("no image")
    (tmp_path / "list.csv").write_text("path,label\nset/b/3.png,x\nset/a/1.png,y\n")
    return tmp_path


@pytest.mark.parametrize("below", ["set", "set/a", "list.csv"])
def test_a_uri_is_what_its_path_is(folder: Path, below: str) -> None:
    here, there = bw.open_source(folder / below), remote.open_anywhere((folder / below).as_uri())
    assert len(there) == len(here)
    assert [there.name(i) for i in range(len(there))] == [Path(here.name(i)).as_uri() for i in range(len(here))]
    assert there.classes == here.classes
    assert (there.labels is None) == (here.labels is None)
    if here.labels is not None:
        np.testing.assert_array_equal(there.labels, here.labels)
    for i in range(len(here)):
        np.testing.assert_array_equal(np.asarray(there.read(i)), np.asarray(here.read(i)))


def test_what_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(SourceError, match="no-such"):
        remote.open_anywhere((folder / "no-such").as_uri())
    with pytest.raises(SourceError, match="nosuchscheme"):
        remote.open_anywhere("nosuchscheme://bucket/folder")
    source = remote.open_anywhere((folder / "set").as_uri())
    (folder / "set/a/1.png").unlink()
    (folder / "set/a/2.png").write_bytes(b"nothing")
    for i, reason in enumerate(("cannot fetch it", "cannot identify|not an image|unknown")):
        with pytest.raises(ImageError, match=f"^file://.*/{i + 1}.png: .*({reason})"):
            source.read(i)


@pytest.mark.parametrize("uri", [False, True])
def test_files_are_written_read_and_listed(tmp_path: Path, uri: bool) -> None:
    folder = (tmp_path / "new" / "out").as_uri() if uri else str(tmp_path / "new" / "out")
    assert remote.names(folder) == set()
    assert remote.read(folder, "x") is None
    remote.write(folder, "x", b"1")
    assert remote.read(folder, "x") == b"1"
    assert remote.names(folder) == {"x"}
    assert [remote.exists(folder, name) for name in "xy"] == [True, False]


@pytest.mark.parametrize(
    "options", [["--ray"], ["-o", "out"], ["--part", "10"], ["--ray", "-o", "out", "--format", "csv"]]
)
def test_ray_needs_a_folder_for_its_answers(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    model = "examples/cifar10/resnet20-w4a4.bw.safetensors"
    assert main(["classify", model, "examples/cifar10", *options]) in (1, 2)
    assert "error" in capsys.readouterr().err.lower()
