"""The commands on a float model in an ONNX file."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from bitwright.artifact import load
from tests.cli.conftest import Run
from tests.onnx_models import model, op, saved

EYE = np.eye(3, dtype=np.float32)
NODES = [
    *(op("Conv", "t w", "c"), op("Relu", "c", "r"), op("GlobalAveragePool", "r", "p"), op("Flatten", "p", "f")),
    op("Gemm", "f g", "y"),
]
TENSORS = {"w": EYE.reshape(3, 3, 1, 1), "g": 8 * EYE[[2, 1, 0]]}


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    """A network that takes pixels, H, W, C, and turns and divides them itself."""
    first = [op("Cast", "x", "a", to=1), op("Div", "a whole", "b"), op("Transpose", "b", "t", perm=[0, 3, 1, 2])]
    tensors = {**TENSORS, "whole": np.array(255, np.float32)}
    names = {"names": '["blue", "green", "red"]'}
    made = model([*first, *NODES], tensors, ("N", 8, 8, 3), kind=TensorProto.UINT8, metadata=names)
    return saved(made, tmp_path)


@pytest.fixture
def floats(tmp_path: Path) -> Path:
    """A network of C, H, W whose file says its size alone."""
    return saved(model([op("Identity", "x", "t"), *NODES], TENSORS, (1, 3, 8, 8)), tmp_path)


def test_a_file_that_says_everything(run: Run, pixels: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.bw.safetensors"
    result = run("quantize", pixels, "--data", "images", "--test", "images", "-o", out)
    assert result.code == 0
    assert "(pixel - 0) / 255; from the graph, which takes pixels" in result.err
    assert "weights of" not in result.err
    assert "top-1          100.00 %, float 100.00 %" in result.out
    assert load(out).classes == ("blue", "green", "red")
    assert run("evaluate", pixels, "--data", "images").code == 0
    assert run("sensitivity", pixels, "--data", "images").code == 0


def test_a_file_that_says_its_size(run: Run, floats: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.bw.safetensors"
    result = run("quantize", floats, "--data", "images", "--mean", 0, "--std", 1, "-o", out)
    assert result.code == 0
    assert "crop to 8x8, (pixel / 255 - 0) / 1; as given by --mean, --std, the size from the graph" in result.err
    assert "nobody gave the mean" in run("quantize", floats, "--data", "images", "-o", out).err


def test_a_file_in_place_of_an_artifact(run: Run, floats: Path) -> None:
    assert "a float model in ONNX, not an artifact; make one with: bitwright quantize" in run("inspect", floats).err
