"""What artifacts keep of where things came from: no folders of the machine."""

from pathlib import Path

import pytest

from bitwright.artifact import load
from bitwright.cli.shareable import shareable
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ("/home/ann/photos/train.csv[::5]", "train.csv[::5]"),
        ("/home/ann/photos/", "photos"),
        ("/home/ann/photos/*.png", "*.png"),
        ("../ann/net.onnx", "net.onnx"),
        ("..", "a folder"),
        ("images/train", "images/train"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("torchvision:resnet18", "torchvision:resnet18"),
        ("digits[:100]", "digits[:100]"),
    ],
)
def test_what_is_kept_of_a_spec(spec: str, kept: str):
    assert shareable(spec) == kept


def test_an_artifact_is_the_same_wherever_its_images_lie(run: Run, project: Path, tmp_path: Path):
    where = tmp_path / "ann" / "images"
    where.parent.mkdir()
    (project / "images").rename(where)
    for i, data in enumerate((where, Path("images"))):
        if i:
            where.rename(project / "images")
        out = tmp_path / f"{i}.bw.safetensors"
        assert run("quantize", "colours:net", "--data", str(data), "--test", str(data), "-o", out).code == 0
    found = load(tmp_path / "0.bw.safetensors")
    assert str(tmp_path).encode() not in found.data
    assert found.data == load(tmp_path / "1.bw.safetensors").data
