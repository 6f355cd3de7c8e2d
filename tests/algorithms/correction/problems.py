"""Small rounding problems, and the least error that any codes reach in them."""

import itertools

import torch
from torch import Tensor

LAST = 6


def problem(seed: int, rows: int = 3, inputs: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """(weight [1, rows, K], gram [1, K, K] of correlated inputs, step [1, rows, K]), float64; about 0..6 steps."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(inputs, inputs, generator=generator, dtype=torch.float64) + 0.7
    seen = mix @ torch.randn(inputs, 200, generator=generator, dtype=torch.float64)
    weight = torch.randn(1, rows, inputs, generator=generator, dtype=torch.float64)
    step = (weight.abs().amax(2, keepdim=True) / 3).expand_as(weight)
    return weight + 3 * step, (seen @ seen.mT / 200)[None], step


def error(codes: Tensor, target: Tensor, gram: Tensor, step: Tensor) -> Tensor:
    """The squared error of each row."""
    d = codes * step - target
    return ((d @ gram) * d).sum(2)


def nearest(weight: Tensor, step: Tensor) -> Tensor:
    return (weight / step).round().clamp(0, LAST)


def least(target: Tensor, gram: Tensor, step: Tensor, choices: list[list[Tensor]]) -> Tensor:
    """The least error of each row, with every combination of `choices[k]`, codes [1, rows] of input k."""
    found = [error(torch.stack(codes, 2), target, gram, step) for codes in itertools.product(*choices)]
    return torch.stack(found).amin(0)
