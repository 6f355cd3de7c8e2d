"""Rounding one input after the other: its formula in plain loops, and its error against the nearest codes' and the least."""

import pytest
import torch

from bitwright.algorithms.correction import gptq
from bitwright.algorithms.correction.gptq import one_by_one
from tests.algorithms.correction.problems import LAST, error, least, nearest, problem


def by_elimination(weight: torch.Tensor, gram: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """The same from the definition: after each input, the best values of those still to come, given all that is rounded."""
    rows, inputs = weight.shape[1:]
    codes = torch.zeros(rows, inputs, dtype=torch.float64)
    order = gram[0].diagonal().argsort(descending=True, stable=True).tolist()
    for row in range(rows):
        w = weight[0, row].clone()
        for i, k in enumerate(order):
            codes[row, k] = (w[k] / step[0, row, k]).round().clamp(0, LAST)
            done, rest = order[: i + 1], order[i + 1 :]
            d = codes[row, done] * step[0, row, done] - weight[0, row, done]
            moved = torch.linalg.solve(gram[0][rest][:, rest], gram[0][rest][:, done] @ d) if rest else d[:0]
            w[rest] = weight[0, row, rest] - moved
    return codes[None]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_definition_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, gram, step = problem(seed, inputs=9)
    expected = by_elimination(weight, gram, step)
    assert torch.equal(one_by_one(weight, weight, gram, step, LAST), expected)
    monkeypatch.setattr(gptq, "BLOCK", 2)
    assert torch.equal(one_by_one(weight, weight, gram, step, LAST), expected)


def test_its_error_is_between_the_least_and_that_of_the_nearest_codes() -> None:
    found, near, best = torch.zeros(3)
    for seed in range(8):
        weight, gram, step = problem(seed, inputs=4)
        every = [torch.full((1, 3), float(code), dtype=torch.float64) for code in range(LAST + 1)]
        found += error(one_by_one(weight, weight, gram, step, LAST), weight, gram, step).sum()
        near += error(nearest(weight, step), weight, gram, step).sum()
        best += least(weight, gram, step, [every] * 4).sum()
    assert best <= found < 0.7 * near


def test_without_correlation_it_is_the_nearest_code() -> None:
    weight, _, step = problem(0)
    gram = torch.diag_embed(torch.tensor([[1.0, 3, 2, 5, 4]], dtype=torch.float64))
    assert torch.equal(one_by_one(weight, weight, gram, step, LAST), nearest(weight, step))
