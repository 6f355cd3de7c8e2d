"""The range of least divergence: outliers are left out, zeros don't matter, ends that nothing is near to are refused."""

import numpy as np

from bitwright.algorithms.ranges.entropy import Entropy
from bitwright.schemes import SCHEMES

BINS = np.arange(0.5, 1024) / 100


def test_an_outlier_is_cut_and_a_flat_histogram_is_not() -> None:
    outlier = Entropy().activation(np.append(BINS, 100), np.append(np.exp(-BINS) * 1e4, 1), SCHEMES["uint4"])
    assert outlier[1] < 12
    assert Entropy().activation(BINS, np.ones_like(BINS), SCHEMES["uint4"]) == (0.0, BINS[-1])


def test_the_zeros_behind_a_relu_make_no_difference() -> None:
    counts = np.exp(-BINS) * 1e4
    more = counts.copy()
    more[0] = 1e7
    assert Entropy().activation(BINS, more, SCHEMES["uint8"]) == Entropy().activation(BINS, counts, SCHEMES["uint8"])


def test_an_end_must_be_where_something_was_seen() -> None:
    assert Entropy().activation(np.array([-1.0, 0.1, 5.0]), np.array([5.0, 1.0, 5.0]), SCHEMES["uint8"]) == (-1.0, 5.0)
