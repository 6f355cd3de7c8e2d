"""PyTorch's own models for testing quantization, as classifiers: `python -m bench.coverage torch`.

They are the modules of `torch.testing._internal.common_quantization` that take one float input and leave the batch axis
where it is, each behind a stem (a convolution) and in front of a head (a linear layer).
"""

import inspect
import sys
import types
import unittest
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitwright.capture import captured, fuse
from bitwright.errors import BitwrightError

SHAPES = ((5,), (1,), (2,), (12,), (20,), (3, 5, 5), (3, 10, 10), (2, 5, 5), (3, 1, 19))
"""Inputs that are tried in turn: features and planes."""
ARGUMENTS = {"qengine": "fbgemm"}


@dataclass(frozen=True)
class Case:
    """A model between its stem and its head, and the pictures that it takes, (C, H, W)."""

    name: str
    model: nn.Module
    shape: tuple[int, int, int]


class Between(nn.Module):
    """A model of features or planes as a classifier of pictures."""

    def __init__(self, body: nn.Module, channels: int, outputs: int, planes: bool) -> None:
        super().__init__()
        self.stem, self.body, self.head = nn.Conv2d(3, channels, 3, padding=1), body, nn.Linear(outputs, 4)
        self.planes = planes

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        logits: Tensor = self.head(self.body(x if self.planes else x.mean((2, 3))).flatten(1))
        return logits


def torch_cases() -> Iterator[Case]:
    """Every model of torch's quantization tests that fits, with weights from a fixed seed."""
    for name, kind in list(vars(_test_models()).items()):
        if not (
            inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__.endswith("common_quantization")
        ):
            continue
        required = [p.name for p in list(inspect.signature(kind).parameters.values()) if p.default is p.empty]
        if not set(required) <= set(ARGUMENTS):
            continue
        torch.manual_seed(0)
        body = kind(*(ARGUMENTS[argument] for argument in required)).eval()
        for shape in SHAPES:
            outputs = _outputs(body, shape)
            if outputs is not None:
                size = shape[1:] if len(shape) == 3 else (8, 8)
                yield Case(name, Between(body, shape[0], outputs, len(shape) == 3).eval(), (3, size[0], size[1]))
                break


def _test_models() -> Any:
    """torch's module, which imports a library for tests of its own that nothing here needs."""
    if "expecttest" not in sys.modules:
        stand_in: Any = types.ModuleType("expecttest")
        stand_in.TestCase = unittest.TestCase
        sys.modules["expecttest"] = stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal import common_quantization
    return common_quantization


def _outputs(body: nn.Module, shape: tuple[int, ...]) -> int | None:
    """How many numbers the model makes of one input of this shape; None where it takes none or mixes the batch."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            two, three = (body(torch.rand(n, *shape)) for n in (2, 3))
    except Exception:  # noqa: BLE001 - a model that wants something else says so in its own way
        return None
    fits = isinstance(two, Tensor) and (len(two), len(three)) == (2, 3) and two.shape[1:] == three.shape[1:]
    return two[0].numel() if fits else None


def why_not(case: Case) -> str:
    """Why a model can't be captured, in one line; empty where it can."""
    try:
        fuse(captured(case.model, case.shape).graph)
    except BitwrightError as error:
        return str(error).splitlines()[0]
    return ""
