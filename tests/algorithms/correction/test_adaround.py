"""Rounding up or down against every combination, and the target that makes good for the layers before."""

import pytest
import torch

from bitwright.algorithms.correction.adaround import up_or_down
from tests.algorithms.correction.problems import LAST, error, least, nearest, problem


@pytest.mark.parametrize("seed", range(8))
def test_codes_are_next_to_the_weight_and_never_worse_than_the_nearest(seed: int) -> None:
    weight, gram, step = problem(seed)
    codes = up_or_down(weight, weight, gram, step, LAST)
    assert ((codes - weight / step).abs() < 1 + 1e-9).all()
    assert ((codes >= 0) & (codes <= LAST)).all()
    assert (error(codes, weight, gram, step) <= error(nearest(weight, step), weight, gram, step) + 1e-9).all()


def test_most_rows_reach_the_least_error_that_there_is() -> None:
    reached, rows = 0, 0
    for seed in range(8):
        weight, gram, step = problem(seed)
        floor = (weight / step).floor().clamp(0, LAST - 1)
        best = least(weight, gram, step, [[floor[:, :, k], floor[:, :, k] + 1] for k in range(weight.shape[2])])
        found = error(up_or_down(weight, weight, gram, step, LAST), weight, gram, step)
        assert (found >= best - 1e-9).all()
        reached += int((found <= best + 1e-9).sum())
        rows += best.numel()
    assert reached >= 0.8 * rows


def test_groups_do_not_look_at_each_other() -> None:
    parts = [problem(seed) for seed in (0, 1)]
    weights, grams, steps = (torch.cat(side) for side in zip(*parts, strict=True))
    together = up_or_down(weights, weights, grams, steps, LAST)
    alone = [up_or_down(weight, weight, gram, step, LAST) for weight, gram, step in parts]
    assert torch.equal(together, torch.cat(alone))
