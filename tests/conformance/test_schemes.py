"""Every scheme in the table packs its codes and gets them back, and refuses bytes that no pack has written."""

import contextlib

import numpy as np
import pytest

from bitwright.errors import RecipeError
from bitwright.schemes import SCHEMES, Scheme, scheme

every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def all_codes(scheme: Scheme) -> np.ndarray:
    return np.arange(scheme.lo, scheme.hi + 1, scheme.step).astype(scheme.dtype)


def random_codes(scheme: Scheme, count: int) -> np.ndarray:
    return np.random.default_rng(count).choice(all_codes(scheme), count)


def base(scheme: Scheme) -> int:
    """How many digits there are, of which a code takes one."""
    return 3 if scheme.name == "ternary" else 2 ** round(scheme.bits)


def digit(scheme: Scheme, code: int) -> int:
    return (code + 1) // 2 if scheme.name == "binary" else code % base(scheme)


def slow_pack(scheme: Scheme, codes: np.ndarray) -> bytes:
    return slow_write(scheme, [digit(scheme, code) for code in codes.reshape(-1).tolist()])


def slow_write(scheme: Scheme, digits: list[int]) -> bytes:
    """Numbers of as many digits as fit whole bytes, the first digit the least significant."""
    per_number = 5 if scheme.name == "ternary" else 8
    packed = b""
    for start in range(0, len(digits), per_number):
        part = digits[start : start + per_number]
        number = sum(d * base(scheme) ** i for i, d in enumerate(part))
        packed += number.to_bytes(scheme.packed_bytes(len(part)), "little")
    return packed


def test_the_table_is_keyed_by_name():
    assert {key: s.name for key, s in SCHEMES.items()} == {key: key for key in SCHEMES}
    assert {f"{sign}int{bits}" for sign in ("", "u") for bits in range(2, 9)} <= set(SCHEMES)


@every_scheme
def test_bounds_and_dtype(scheme):
    assert scheme.dtype == (np.int8 if scheme.weights else np.uint8)
    assert np.iinfo(scheme.dtype).min <= scheme.lo < scheme.hi <= np.iinfo(scheme.dtype).max
    assert len(all_codes(scheme)) <= base(scheme)
    assert scheme.weights or scheme.activations
    if scheme.name.startswith("int"):
        assert (scheme.lo, scheme.hi) == (-(2 ** (scheme.bits - 1) - 1), 2 ** (scheme.bits - 1) - 1)
    if scheme.name.startswith("uint"):
        assert (scheme.lo, scheme.hi) == (0, 2**scheme.bits - 1)


@every_scheme
def test_every_code_survives_the_round_trip(scheme):
    codes = all_codes(scheme)
    found = scheme.unpack(scheme.pack(codes), codes.size)
    assert found.dtype == scheme.dtype
    np.testing.assert_array_equal(found, codes)


@every_scheme
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 101])
def test_every_count_survives_the_round_trip(scheme, count):
    codes = random_codes(scheme, count)
    packed = scheme.pack(codes)
    assert packed.dtype == np.uint8
    assert packed.shape == (scheme.packed_bytes(count),)
    assert packed.tobytes() == slow_pack(scheme, codes)
    found = scheme.unpack(packed, count)
    assert found.shape == (count,)
    assert found.dtype == scheme.dtype
    np.testing.assert_array_equal(found, codes)


@every_scheme
def test_packed_bytes_is_the_least_number_of_whole_bytes(scheme):
    for count in range(40):
        least = scheme.packed_bytes(count)
        assert least * 8 >= count * scheme.bits > (least - 1) * 8


@every_scheme
def test_codes_of_any_shape_and_layout_pack_in_row_major_order(scheme):
    codes = random_codes(scheme, 60).reshape(3, 4, 5)
    flat = scheme.pack(codes.reshape(-1).copy())
    np.testing.assert_array_equal(scheme.pack(codes), flat)
    np.testing.assert_array_equal(scheme.pack(np.asfortranarray(codes)), flat)
    np.testing.assert_array_equal(scheme.pack(codes.astype(np.int64)), flat)


@every_scheme
def test_pack_and_unpack_neither_change_nor_share_their_input(scheme):
    codes = all_codes(scheme)
    before = codes.copy()
    packed = scheme.pack(codes)
    assert not np.shares_memory(packed, codes)
    packed_before = packed.copy()
    found = scheme.unpack(packed, codes.size)
    assert not np.shares_memory(found, packed)
    found[...] = 0
    np.testing.assert_array_equal(codes, before)
    np.testing.assert_array_equal(packed, packed_before)


@every_scheme
def test_unpack_reads_memory_that_is_read_only(scheme):
    codes = all_codes(scheme)
    packed = np.frombuffer(scheme.pack(codes).tobytes(), np.uint8)
    np.testing.assert_array_equal(scheme.unpack(packed, codes.size), codes)


@every_scheme
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_length_is_refused(scheme, change):
    packed = scheme.pack(random_codes(scheme, 13))
    damaged = packed[:change] if change < 0 else np.append(packed, np.uint8(0))
    with pytest.raises(ValueError, match=scheme.name):
        scheme.unpack(damaged, 13)


@every_scheme
def test_bits_behind_the_last_code_must_be_zero(scheme):
    for count in range(1, 9):
        codes = random_codes(scheme, count)
        digits = [digit(scheme, code) for code in codes.tolist()]
        size = len(scheme.pack(codes))
        for place in range(count, 8 * count):
            damaged = slow_write(scheme, [*digits, *[0] * (place - count), 1])
            if len(damaged) == size:
                with pytest.raises(ValueError, match="padding"):
                    scheme.unpack(np.frombuffer(damaged, np.uint8), count)


@every_scheme
def test_every_bit_pattern_is_a_code_or_is_refused(scheme):
    codes = set(all_codes(scheme).tolist())
    accepted = []
    for pattern in range(256):
        with contextlib.suppress(ValueError):
            accepted += scheme.unpack(np.array([pattern], np.uint8), 1).tolist()
    assert sorted(accepted) == sorted(codes)


@every_scheme
def test_one_foreign_code_among_many_is_refused(scheme):
    known = {digit(scheme, code) for code in all_codes(scheme).tolist()}
    for pattern in set(range(base(scheme))) - known:
        for place in range(5):
            digits = [digit(scheme, scheme.hi)] * 5
            digits[place] = pattern
            raw = np.frombuffer(slow_write(scheme, digits), np.uint8)
            with pytest.raises(ValueError, match=scheme.name):
                scheme.unpack(raw, 5)
    assert len(known) == len(all_codes(scheme))


def test_a_byte_of_no_five_ternary_codes_is_refused():
    for byte in range(243, 256):
        with pytest.raises(ValueError, match="ternary"):
            SCHEMES["ternary"].unpack(np.array([byte], np.uint8), 5)


@every_scheme
def test_nearest_is_the_nearest(scheme):
    x = np.linspace(scheme.lo - 2, scheme.hi + 2, 997)
    found = scheme.nearest(x)
    least = np.abs(x[:, None] - all_codes(scheme).astype(np.float64)).min(axis=1)
    np.testing.assert_allclose(np.abs(x - found), least)
    assert scheme.holds(found.astype(np.int64))
    if scheme.step == 1:
        np.testing.assert_array_equal(scheme.nearest(np.array([0.5, -0.5])), [0, 0])
    else:
        np.testing.assert_array_equal(scheme.nearest(np.array([0.0, -0.0, 1e-300])), [scheme.lo, scheme.lo, scheme.hi])


@every_scheme
def test_it_holds_its_own_numbers_and_no_others(scheme):
    assert scheme.holds(all_codes(scheme))
    assert scheme.holds(all_codes(scheme)[:0])
    own = set(all_codes(scheme).tolist())
    for number in set(range(-200, 300)) - own:
        assert not scheme.holds(np.array([scheme.hi, number, scheme.lo]))


FEW = [s for s in SCHEMES.values() if s.name in ("ternary", "binary", "bit")]


@pytest.mark.parametrize("scheme", FEW, ids=[s.name for s in FEW])
def test_a_scheme_of_few_numbers_knows_the_scale_of_least_squared_error(scheme):
    weight = np.random.default_rng(0).standard_t(3, (6, 40))
    weight[4], weight[5] = 0.25, 0.0
    found = scheme.weight_scale(weight)

    def error(scale):
        with np.errstate(invalid="ignore", divide="ignore"):
            numbers = scheme.nearest(np.nan_to_num(weight / scale[:, None]))
        return ((weight - numbers * scale[:, None]) ** 2).sum(axis=1)

    least = error(found)
    assert found[5] == 0
    for scale in np.linspace(0.001, np.abs(weight).max(), 3000):
        assert (error(np.full(6, scale)) >= least - 1e-12).all()


def test_a_range_of_two_codes_is_the_one_of_least_squared_error():
    values = np.sort(np.random.default_rng(0).normal(0.3, 1, 300))
    counts = np.random.default_rng(1).integers(0, 4, 300).astype(np.float64)
    binary, bit = (SCHEMES[name].activation_range(values, counts) for name in ("binary", "bit"))
    assert binary is not None
    assert bit is not None
    lo, hi = binary
    assert -lo == hi == pytest.approx((np.abs(values) * counts).sum() / counts.sum())
    lo, hi = bit

    def error(scale):
        return counts @ (values - np.where(values > scale / 2, scale, 0)) ** 2

    assert lo == 0
    assert all(error(scale) >= error(hi) - 1e-12 for scale in np.linspace(0.001, values.max(), 3000))


def test_look_up_by_name():
    assert all(scheme(name) is found for name, found in SCHEMES.items())


@pytest.mark.parametrize("name", ["int9", "INT8", "", None, ["int8"], 8])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(name):
    with pytest.raises(RecipeError, match="int8, int7"):
        scheme(name)
