"""Every scheme in the table packs its codes and gets them back, and refuses bytes that no pack has written."""

import contextlib

import numpy as np
import pytest

from bitwright.errors import RecipeError
from bitwright.schemes import SCHEMES, Scheme, scheme

every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def all_codes(scheme: Scheme) -> np.ndarray:
    return np.arange(scheme.lo, scheme.hi + 1).astype(scheme.dtype)


def random_codes(scheme: Scheme, count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(scheme.lo, scheme.hi + 1, count).astype(scheme.dtype)


def slow_pack(scheme: Scheme, codes: np.ndarray) -> bytes:
    """One long number, code after code, least significant bit first."""
    number = 0
    for i, code in enumerate(codes.reshape(-1).tolist()):
        number |= (code & (2**scheme.bits - 1)) << (i * scheme.bits)
    return number.to_bytes(scheme.packed_bytes(codes.size), "little")


def test_the_table_is_keyed_by_name():
    assert {key: s.name for key, s in SCHEMES.items()} == {key: key for key in SCHEMES}
    assert {f"{sign}int{bits}" for sign in ("", "u") for bits in range(2, 9)} <= set(SCHEMES)


@every_scheme
def test_bounds_and_dtype(scheme):
    assert scheme.dtype == (np.int8 if scheme.signed else np.uint8)
    assert np.iinfo(scheme.dtype).min <= scheme.lo < scheme.hi <= np.iinfo(scheme.dtype).max
    assert scheme.hi - scheme.lo < 2**scheme.bits
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
        used = count * scheme.bits % 8
        for bit in range(used, 8 if used else 0):
            damaged = scheme.pack(random_codes(scheme, count))
            damaged[-1] |= 1 << bit
            with pytest.raises(ValueError, match="padding"):
                scheme.unpack(damaged, count)


@every_scheme
def test_every_bit_pattern_is_a_code_or_is_refused(scheme):
    codes = set(all_codes(scheme).tolist())
    accepted = []
    for pattern in range(2**scheme.bits):
        with contextlib.suppress(ValueError):
            accepted += scheme.unpack(np.array([pattern], np.uint8), 1).tolist()
    assert sorted(accepted) == sorted(codes)


@every_scheme
def test_one_foreign_code_among_many_is_refused(scheme):
    foreign = [
        p for p in range(2**scheme.bits) if p not in {c % 2**scheme.bits for c in range(scheme.lo, scheme.hi + 1)}
    ]
    for pattern in foreign:
        for place in range(5):
            codes = np.zeros(5, np.int64)
            codes[place] = pattern
            raw = np.frombuffer(slow_pack(scheme, codes), np.uint8)
            with pytest.raises(ValueError, match=scheme.name):
                scheme.unpack(raw, 5)
    assert len(foreign) == 2**scheme.bits - (scheme.hi - scheme.lo + 1)


def test_look_up_by_name():
    assert all(scheme(name) is found for name, found in SCHEMES.items())


@pytest.mark.parametrize("name", ["int9", "INT8", "", None, ["int8"], 8])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(name):
    with pytest.raises(RecipeError, match="int8, int7"):
        scheme(name)
