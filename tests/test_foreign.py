"""What is given in place of an artifact by mistake gets a name, and advice."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.artifact import from_bytes, load
from bitwright.cli.app import main
from bitwright.errors import ArtifactError


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 100)
    return file.getvalue()


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, "PNG")
    return file.getvalue()


CHECKPOINT = r"x: a checkpoint of PyTorch, not an artifact; .*bitwright quantize MODEL --weights x --data SRC -o OUT"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (zipped("good/data.pkl", "good/data/0"), CHECKPOINT),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", CHECKPOINT),
        (zipped("m/data.pkl", "m/constants.pkl", "m/code/a.py"), "a TorchScript module"),
        (zipped("p/archive_format", "p/models/model.json"), "torch.export.*bitwright quantize x --data SRC"),
        (zipped("a.txt"), "a zip file, not an artifact"),
        (zipped("good/data.pkl")[:60], "a zip file that was cut off"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a page of HTML"),
        (picture(), r"an image \(PNG\)"),
        (b"nonsense, and more", "not a safetensors file, or a damaged one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",  # the bytes of a zip file tell the time
)
def test_a_file_of_another_kind_is_called_by_its_name(data: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        from_bytes(data, "x")


def test_checkpoints_of_torch_itself_are_known(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for name, new in (("new.pt", True), ("old.pt", False)):
        torch.save({"weight": torch.zeros(3)}, tmp_path / name, _use_new_zipfile_serialization=new)
        with pytest.raises(ArtifactError, match=rf"a checkpoint of PyTorch.*{name}"):
            load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "resnet18",
            r"torchvision:resnet18, timm:resnet18 or my_module:resnet18, and quantize it first: bitwright quantize",
        ),
        ("torchvision:resnet18", r"make one of this model with: bitwright quantize torchvision:resnet18 --weights"),
        ("absent.bw.safetensors", r"No such file or directory$"),
        (".", "an artifact is a file, and comes before the images"),
    ],
)
def test_a_name_that_is_no_file_of_an_artifact(name: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        load(name)


@pytest.mark.parametrize("command", [["inspect"], ["bench"], ["evaluate", "--data", "."], ["classify"]])
def test_every_command_says_so(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.pt").write_bytes(zipped("good/data.pkl"))
    (tmp_path / "a.png").write_bytes(picture())
    more = ["a.png"] if command == ["classify"] else []
    assert main([*command, "good.pt", *more]) == 2
    assert "good.pt: a checkpoint of PyTorch" in capsys.readouterr().err
