"""Small ONNX files to mutate: `python -m bench.small_onnx FOLDER` writes float.onnx, qdq.onnx and qoperator.onnx.

A network of convolutions, a residual, a concat and a table, 24 kB, and what ONNX Runtime's quantize_static makes of it.
"""

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.capture.quiet import quiet

SHAPE = (3, 8, 8)


class Small(nn.Module):
    """float32 [N, 3, 8, 8] to [N, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.first, self.second = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.side, self.fc = nn.Conv2d(16, 16, 1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        y = F.leaky_relu(self.first(x), 0.1)
        y = self.second(y) * torch.sigmoid(y)
        x = F.max_pool2d(torch.relu(x + y), 2)
        x = torch.cat([x, F.relu6(self.side(x))], 1)[:, ::2]
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Reader:
    """Images for `quantize_static`, four batches of sixteen."""

    def __init__(self) -> None:
        images = np.random.default_rng(0).normal(0, 1, (4, 16, *SHAPE)).astype(np.float32)
        self._batches: Iterator[dict[str, Any]] = iter([{"x": batch} for batch in images])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


def small(path: Path) -> None:
    """Write the float network."""
    torch.manual_seed(0)
    how: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}, "opset_version": 17, "dynamo": False}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Small().eval(), (torch.zeros(1, *SHAPE),), str(path), **how)


def quantized(float_path: Path, path: Path, form: str, **how: Any) -> None:
    """Have ONNX Runtime quantize it: `form` is QDQ or QOperator."""
    from onnxruntime.quantization import QuantFormat, quantize_static

    with quiet():
        quantize_static(str(float_path), str(path), Reader(), quant_format=QuantFormat[form], **how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    small(folder / "float.onnx")
    for form in ("QDQ", "QOperator"):
        quantized(folder / "float.onnx", folder / f"{form.lower()}.onnx", form, per_channel=True)


if __name__ == "__main__":
    main()
