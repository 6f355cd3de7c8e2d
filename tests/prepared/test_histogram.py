"""Histograms: the same whatever the order and the batches, of one size for ever, exact at the ends."""

import math

import numpy as np
import pytest
import torch

from bitwright.algorithms.ranges import RANGES
from bitwright.prepared.histogram import SIDE, Histogram
from bitwright.prepared.quantizers import ActivationQuantizer


def stream(seed: int = 0, count: int = 4000) -> torch.Tensor:
    """Numbers of very different sizes, of both signs, zeros and repeats among them."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, generator=generator) * 10 ** (6 * torch.rand(count, generator=generator) - 3)
    values[::7] = 0
    values[1::11] = values[5]
    return values


def of(*parts: torch.Tensor) -> Histogram:
    found = Histogram()
    for part in parts:
        found.add(part)
    return found


def assert_same(a: Histogram, b: Histogram) -> None:
    assert (a.exponent, a.lo, a.hi) == (b.exponent, b.lo, b.hi)
    np.testing.assert_array_equal(a.counts, b.counts)


def slow(values: torch.Tensor) -> tuple[int, np.ndarray]:
    """The exponent and the counts, number by number, in exact arithmetic."""
    exponent = -112
    while (SIDE * 2.0**exponent) <= max(abs(v) for v in values.tolist()):
        exponent += 1
    counts = np.zeros(2 * SIDE, np.int64)
    for value in values.tolist():
        counts[math.floor(value / 2.0**exponent) + SIDE] += 1
    return exponent, counts


def test_bins_are_as_defined() -> None:
    values = stream(1, 1000)
    exponent, counts = slow(values)
    found = of(values)
    assert found.exponent == exponent
    np.testing.assert_array_equal(found.counts, counts)


@pytest.mark.parametrize(
    "values", [[1.0], [-1.0], [0.0], [2.0, -2.0], [4096.0], [-(2.0**-20)], [3.4e38], [-3.4e38, 1.0]]
)
def test_powers_of_two_and_extremes_fall_into_bins(values: list[float]) -> None:
    exponent, counts = slow(torch.tensor(values))
    found = of(torch.tensor(values))
    assert found.exponent == exponent
    np.testing.assert_array_equal(found.counts, counts)


@pytest.mark.parametrize("pieces", [1, 2, 3, 17, 400])
def test_batches_make_no_difference(pieces: int) -> None:
    values = stream()
    assert_same(of(*values.chunk(pieces)), of(values))


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_the_order_makes_no_difference(order: str) -> None:
    values = stream()
    by_size = values[values.abs().argsort(descending=order == "descending")]
    other = values[torch.randperm(len(values), generator=torch.Generator().manual_seed(5))]
    assert_same(of(*(other if order == "random" else by_size).chunk(50)), of(values))


@pytest.mark.parametrize("tiny", [-1e-38, -1e-42, 1e-42])
def test_numbers_that_scaling_would_underflow(tiny: float) -> None:
    """A tiny negative number is below zero, whether a large one came before it or after it."""
    small, large = torch.tensor([tiny]), torch.tensor([1e12])
    assert_same(of(small, large), of(large, small))
    assert_same(of(small, large), of(torch.cat([small, large])))


def test_shapes_and_strides_make_no_difference() -> None:
    values = stream().reshape(2, 8, 10, 25)
    for view in (values.permute(0, 2, 3, 1), values.flip(2), values.to(memory_format=torch.channels_last)):
        assert_same(of(view), of(values.reshape(-1)))
    assert_same(of(values[:, ::2]), of(values[:, ::2].contiguous()))


def test_the_size_never_grows() -> None:
    found = of(torch.tensor([1e-30]))
    size = found.counts.nbytes
    for power in range(-30, 38):
        found.add(torch.full((3,), 10.0**power))
    assert found.counts.nbytes == size == 16 * SIDE
    assert found.counts.sum() == 1 + 3 * 68


def test_the_extremes_are_exact() -> None:
    values = stream()
    found = of(*values.chunk(9))
    assert (found.lo, found.hi) == (float(values.min()), float(values.max()))


def test_points_are_near_what_was_seen_and_never_outside() -> None:
    values = stream()
    points, counts = of(values).points()
    assert counts.sum() == len(values)
    assert (np.diff(points) >= 0).all()
    assert values.min() <= points[0]
    assert points[-1] <= values.max()
    width = 2.0 ** (of(values).exponent or 0)
    assert np.abs(np.repeat(points, counts.astype(int)) - np.sort(values.numpy())).max() <= width


def test_nothing_seen_is_no_points() -> None:
    points, counts = Histogram().points()
    assert len(points) == len(counts) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    values = stream()
    values[1234] = bad
    with pytest.raises(ValueError, match="values range over"):
        of(values)


@pytest.mark.parametrize("values", [[-1.0002, -1.0001], [1.0001, 1.0002], [-1.0001, -1.0, 3.0]])
def test_minmax_covers_exactly_what_was_seen(values: list[float]) -> None:
    """Also where all of it lies in one bin."""
    quantizer = ActivationQuantizer("quantizer", "uint8")
    quantizer.observe(torch.tensor(values))
    quantizer.choose_range(RANGES["minmax"])
    width = max(*values, 0) - min(*values, 0)
    assert float(quantizer.scale) == pytest.approx(width / 255, rel=1e-6)
