"""A small project to run the commands in: a model that tells colours apart, pictures, and its artifact."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from bitwright.cli import main

FACTORY = """
import torch
from torch import nn
from bitwright import Preprocess

def net():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3).reshape(3, 3, 1, 1))
        model[0].bias.zero_()
        model[4].weight.copy_(8 * torch.eye(3)[[2, 1, 0]])
        model[4].bias.zero_()
    return model

def unknown():
    return net()

class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()
        self.other = nn.Linear(3, 2)

    def forward(self, x):
        features = self.net[:4](x)
        return {"colour": self.net[4](features), "other": self.other(features), "features": features}

def heads():
    return Heads()

net.preprocess = heads.preprocess = Preprocess(size=8)
"""
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
QUANTIZE = ("quantize", "colours:net", "--data", "images")


class Result(NamedTuple):
    """What a command left: `err` without the lines that say what an artifact does to its images, which are `told`."""

    code: int
    out: str
    err: str
    told: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return tuple(self[:3]) == (tuple(other[:3]) if isinstance(other, tuple) else other)

    def __hash__(self) -> int:
        return hash(tuple(self[:3]))


def result(code: int, out: str, err: str) -> Result:
    lines = err.splitlines(keepends=True)
    told = [line for line in lines if line.endswith("; from the artifact\n")]
    return Result(code, out, "".join(line for line in lines if line not in told), tuple(told))


Run = Callable[..., Result]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder. Tests write elsewhere, or under names of their own."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "colours.py").write_text(FACTORY)
    for name, colour in COLOURS.items():
        for i in range(2):
            path = folder / "images" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = np.full((9, 12, 3), colour, np.uint8)
            picture[2 * i + 3, 5] ^= 16  # or they would be no images to calibrate on
            Image.fromarray(picture).save(path)
    (folder / "mixed").mkdir()
    (folder / "mixed" / "bad.png").write_bytes(b"not a picture")
    Image.fromarray(np.full((8, 8, 3), COLOURS["red"], np.uint8)).save(folder / "mixed" / "good.png")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main([*QUANTIZE, "-o", "m.bw.safetensors"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder, as the current directory."""
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def run(project: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, inside the project."""
    capsys.readouterr()

    def run(*arguments: object) -> Result:
        code = main([str(argument) for argument in arguments])
        return result(code, *capsys.readouterr())

    return run
