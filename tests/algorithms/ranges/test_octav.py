"""The fixed point is near the minimum of the error that it is derived from, the nearer the more codes there are."""

import numpy as np
import pytest

from bitwright.algorithms.ranges.octav import Octav
from bitwright.schemes import SCHEMES

NORMAL = np.random.default_rng(0).normal(0, 1, 20_000)


@pytest.mark.parametrize("scheme", ["int4", "int8"])
def test_a_weight_clip_is_where_the_expected_error_is_least(scheme: str) -> None:
    codes, size = SCHEMES[scheme], np.abs(NORMAL)
    found = float(Octav().weight(NORMAL[None], codes)[0])

    def expected_error(clip: float) -> float:
        return float(((size <= clip) * clip**2 / (12 * codes.hi**2) + (size > clip) * (size - clip) ** 2).mean())

    assert expected_error(found) <= min(expected_error(found * factor) for factor in (0.9, 0.95, 1.05, 1.1))


@pytest.mark.parametrize("scheme", ["uint4", "uint8"])
def test_the_ends_of_an_activation_are_where_the_expected_error_is_least(scheme: str) -> None:
    codes = SCHEMES[scheme]
    values = np.sort(NORMAL + 0.5)
    lo, hi = Octav().activation(values, np.ones(len(values)), codes)

    def expected_error(lo: float, hi: float) -> float:
        inside = (values >= lo) & (values <= hi)
        outside = np.maximum(values - hi, 0) ** 2 + np.maximum(lo - values, 0) ** 2
        return float((inside * (hi - lo) ** 2 / (12 * codes.hi**2) + outside).mean())

    for factor in (0.9, 0.95, 1.05, 1.1):
        assert expected_error(lo, hi) <= min(expected_error(lo * factor, hi), expected_error(lo, hi * factor))
