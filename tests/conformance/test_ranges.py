"""Every range algorithm in the table keeps the contract of `Range`; a newcomer is tested as soon as it is listed."""

import numpy as np
import pytest

from bitwright.algorithms.ranges import RANGES, Range, range_algorithm
from bitwright.algorithms.ranges.range import Floats
from bitwright.errors import RecipeError
from bitwright.qtensor import affine_qtype, to_codes, to_real
from bitwright.schemes import SCHEMES, Scheme

every_range = pytest.mark.parametrize("algorithm", RANGES.values(), ids=RANGES)
ONES = np.ones((1, 1))
ACTIVATIONS = [s for s in SCHEMES.values() if s.activations and s.activation_range(ONES[0], ONES[0]) is None]
WEIGHTED = [s for s in SCHEMES.values() if s.weights and s.weight_scale(ONES) is None]
every_activation_scheme = pytest.mark.parametrize("codes", ACTIVATIONS, ids=[s.name for s in ACTIVATIONS])
every_weight_scheme = pytest.mark.parametrize("codes", WEIGHTED, ids=[s.name for s in WEIGHTED])

rng = np.random.default_rng(0)
SEEN: dict[str, np.ndarray] = {
    "normal": rng.normal(0.3, 1, 5000),
    "relu": np.maximum(rng.normal(0, 1, 5000), 0),
    "positive": rng.uniform(3, 4, 500),
    "negative": -rng.uniform(3, 4, 500),
    "heavy tails": rng.standard_t(1.5, 5000),
    "one outlier": np.append(rng.normal(0, 1, 5000), 1e4),
    "zero": np.zeros(10),
    "one number": np.full(10, 0.7),
    "one negative number": np.full(10, -0.7),
    "tiny": rng.normal(0, 1e-30, 100),
    "huge": rng.normal(0, 1e30, 100),
    "two numbers": np.array([-1.0, 5.0]),
}
every_input = pytest.mark.parametrize("values", SEEN.values(), ids=SEEN)


def histogram(values: np.ndarray) -> tuple[Floats, Floats]:
    points, counts = np.unique(values, return_counts=True)
    return points.astype(np.float64), counts.astype(np.float64)


def activation(algorithm: Range, values: np.ndarray, codes: Scheme) -> tuple[float, float]:
    return algorithm.activation(*histogram(values), codes)


def error(values: np.ndarray, lo: float, hi: float, codes: Scheme) -> float:
    qtype = affine_qtype(codes.name, lo, hi)
    return float(((values - to_real(to_codes(values, qtype), qtype)) ** 2).sum())


@every_range
@every_activation_scheme
@every_input
def test_an_activation_range_is_within_what_was_seen_and_zero(
    algorithm: Range, codes: Scheme, values: np.ndarray
) -> None:
    lo, hi = activation(algorithm, values, codes)
    assert isinstance(lo, float)
    assert isinstance(hi, float)
    assert min(values.min(), 0) <= lo <= hi <= max(values.max(), 0)
    affine_qtype(codes.name, lo, hi).check("range", 1)


@every_range
@every_activation_scheme
@every_input
def test_activation_ranges_are_deterministic(algorithm: Range, codes: Scheme, values: np.ndarray) -> None:
    points, counts = histogram(values)
    before = points.copy(), counts.copy()
    first = algorithm.activation(points, counts, codes)
    assert algorithm.activation(points.copy(), counts.copy(), codes) == first
    np.testing.assert_array_equal((points, counts), before)


@every_range
@pytest.mark.parametrize("factor", [0.5, 4096.0])
def test_activation_ranges_scale_with_the_values(algorithm: Range, factor: float) -> None:
    points, counts = histogram(SEEN["normal"])
    lo, hi = algorithm.activation(points, counts, SCHEMES["uint4"])
    assert algorithm.activation(points * factor, counts, SCHEMES["uint4"]) == (lo * factor, hi * factor)


@every_range
def test_counts_weigh_like_repeats(algorithm: Range) -> None:
    points, counts = histogram(SEEN["relu"])
    assert algorithm.activation(points, counts * 8, SCHEMES["uint4"]) == algorithm.activation(
        points, counts, SCHEMES["uint4"]
    )


@every_range
@every_activation_scheme
def test_bulk_is_covered(algorithm: Range, codes: Scheme) -> None:
    """No algorithm may do worse than rounding everything to zero."""
    for name in ("normal", "relu", "positive", "negative", "two numbers"):
        lo, hi = activation(algorithm, SEEN[name], codes)
        assert error(SEEN[name], lo, hi, codes) < (SEEN[name] ** 2).sum(), name


@every_activation_scheme
@every_input
def test_mse_is_never_worse_than_minmax_on_activations(codes: Scheme, values: np.ndarray) -> None:
    found, covered = (error(values, *activation(RANGES[name], values, codes), codes) for name in ("mse", "minmax"))
    assert found <= covered * (1 + 1e-12)


def test_minmax_covers_everything_and_the_others_leave_outliers_out() -> None:
    values = SEEN["one outlier"]
    codes = SCHEMES["uint4"]
    assert activation(RANGES["minmax"], values, codes) == (values.min(), values.max())
    many = np.append(np.repeat(values[:-1], 10), 1e4)
    assert activation(RANGES["percentile"], many, codes)[1] < 10
    assert activation(RANGES["mse"], np.append(np.repeat(values[:-1], 10), 40.0), codes)[1] < 40


NORMAL_BINS = np.arange(-3.99, 4, 0.02)
OUTLIERS = {
    "above": (NORMAL_BINS, 40.0),
    "below": (NORMAL_BINS, -40.0),
    "behind a relu": (NORMAL_BINS[NORMAL_BINS > 0], 40.0),
}


@pytest.mark.parametrize("algorithm", [a for a in RANGES.values() if a.name != "minmax"], ids=lambda a: a.name)
@pytest.mark.parametrize(("bins", "outlier"), OUTLIERS.values(), ids=OUTLIERS)
def test_it_gains_where_one_of_many_numbers_is_far_away(algorithm: Range, bins: np.ndarray, outlier: float) -> None:
    """What clips exists for this: the squared error, that of the outlier included, is a tenth of minmax's or less."""
    values, counts = np.append(bins, outlier), np.append(1000 * np.exp(-(bins**2) / 2), 1.0)
    order = np.argsort(values)
    values, counts = values[order], counts[order]

    def lost(algorithm: Range) -> float:
        lo, hi = algorithm.activation(values, counts, SCHEMES["uint4"])
        qtype = affine_qtype("uint4", min(lo, 0.0), max(hi, 0.0))
        return float(counts @ (to_real(to_codes(values, qtype), qtype) - values) ** 2)

    assert lost(algorithm) < 0.1 * lost(RANGES["minmax"])


# --- weights ----------------------------------------------------------------------------------------------------------

WEIGHTS: dict[str, np.ndarray] = {
    "normal": rng.normal(0, 1, (6, 300)),
    "heavy tails": rng.standard_t(1.5, (6, 300)),
    "of many sizes": rng.normal(0, 1, (6, 40)) * 10.0 ** np.arange(-3, 3)[:, None],
    "one input": rng.normal(0, 1, (6, 1)),
    "positive": rng.uniform(1, 2, (6, 40)),
    "channels of zeros": np.where(np.arange(6)[:, None] % 2, rng.normal(0, 1, (6, 40)), 0),
    "zeros": np.zeros((6, 40)),
    "nearly zeros": rng.normal(0, 1e-36, (6, 40)),
    "one channel": rng.normal(0, 1, (1, 40)),
}
every_weight = pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)


def weight_errors(weight: np.ndarray, largest: Floats, codes: Scheme) -> np.ndarray:
    scale = np.where(largest > 0, largest / codes.hi, 1)[:, None]
    rounded = np.clip(np.rint(weight / scale), codes.lo, codes.hi) * scale
    return np.asarray(((weight - rounded) ** 2).sum(axis=1))


@every_range
@every_weight_scheme
@every_weight
def test_a_weight_range_is_within_the_weights_of_each_channel(
    algorithm: Range, codes: Scheme, weight: np.ndarray
) -> None:
    before = weight.copy()
    found = algorithm.weight(weight, codes)
    np.testing.assert_array_equal(weight, before)
    largest = np.abs(weight).max(axis=1)
    assert found.shape == (len(weight),)
    assert found.dtype == np.float64
    assert ((found >= 0) & (found <= largest * (1 + 1e-12))).all()
    assert ((found > 0) == (largest > 0)).all()
    np.testing.assert_array_equal(algorithm.weight(weight.copy(), codes), found)


@every_range
@every_weight_scheme
def test_channels_do_not_look_at_each_other(algorithm: Range, codes: Scheme) -> None:
    weight = WEIGHTS["of many sizes"]
    found = algorithm.weight(weight, codes)
    np.testing.assert_array_equal(algorithm.weight(weight[::-1].copy(), codes), found[::-1])
    alone = np.concatenate([algorithm.weight(row[None], codes) for row in weight])
    np.testing.assert_array_equal(alone, found)


@every_range
@every_weight_scheme
def test_the_sign_makes_no_difference(algorithm: Range, codes: Scheme) -> None:
    weight = WEIGHTS["heavy tails"]
    np.testing.assert_array_equal(algorithm.weight(-weight, codes), algorithm.weight(weight, codes))


@every_weight_scheme
@every_weight
def test_mse_is_never_worse_than_minmax_on_weights(codes: Scheme, weight: np.ndarray) -> None:
    found, covered = (weight_errors(weight, RANGES[name].weight(weight, codes), codes) for name in ("mse", "minmax"))
    assert (found <= covered * (1 + 1e-5) + 1e-300).all()


def test_mse_is_better_than_minmax_where_few_codes_meet_heavy_tails() -> None:
    weight = WEIGHTS["heavy tails"]
    codes = SCHEMES["int4"]
    found, covered = (weight_errors(weight, RANGES[name].weight(weight, codes), codes) for name in ("mse", "minmax"))
    assert found.sum() < 0.9 * covered.sum()


COVER_WEIGHTS = {"minmax", "entropy"}
"""What says of itself that it covers weights whole."""


@pytest.mark.parametrize(
    "algorithm", [a for a in RANGES.values() if a.name not in COVER_WEIGHTS], ids=lambda algorithm: algorithm.name
)
def test_it_gains_where_one_weight_of_many_is_far_away(algorithm: Range) -> None:
    weight = np.random.default_rng(1).normal(0, 1, (2, 20_000))
    weight[:, 7] = -30, 40
    codes = SCHEMES["int4"]
    found, covered = (weight_errors(weight, a.weight(weight, codes), codes) for a in (algorithm, RANGES["minmax"]))
    assert (found < 0.2 * covered).all()


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_is_keyed_by_name() -> None:
    assert {name: algorithm.name for name, algorithm in RANGES.items()} == {name: name for name in RANGES}
    assert {"minmax", "percentile", "mse"} <= set(RANGES)
    assert all(range_algorithm(name) is algorithm for name, algorithm in RANGES.items())


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="known ranges: minmax, percentile, mse"):
        range_algorithm("Mse")
