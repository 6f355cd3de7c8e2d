"""One small sound file of each kind that is read from strangers, for `bench.mutated`."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.artifact.sample import ARTIFACT
from tests.onnx_models import model, op

PICTURES = ("jpg", "png", "gif", "webp", "tif", "bmp", "ppm")
RECIPE = """\
weights = "int4"
activations = "uint8"
range = "mse"
algorithms = ["equalize", "bias_correct"]
first = { weights = "int8" }

[[layers]]
match = "conv*"
weights = "int8"
"""
NODES = [
    op("Conv", "x w", "a", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    op("Relu", "a", "b"),
    op("GlobalAveragePool", "b", "c"),
    op("Flatten", "c", "y"),
]


class Small(torch.nn.Module):
    """A convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.conv(x).relu().mean((2, 3)))
        return out


def write_samples(folder: Path) -> list[Path]:
    """Writes them, the quickest to be read first."""
    (folder / "recipe.toml").write_text(RECIPE)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    for suffix in PICTURES:
        Image.fromarray(pixels).save(folder / f"picture.{suffix}")
    ARTIFACT.save(folder / "model.bw.safetensors")
    torch.manual_seed(0)
    small = Small().eval()
    save_file(small.state_dict(), folder / "weights.safetensors")
    torch.save(small.state_dict(), folder / "weights.pt")
    weights = {"w": np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)}
    (folder / "model.onnx").write_bytes(model(NODES, weights).SerializeToString())
    torch.export.save(torch.export.export(small, (torch.zeros(1, 3, 8, 8),)), folder / "model.pt2")
    return sorted(folder.iterdir(), key=lambda path: path.suffix in (".pt2", ".onnx"))
