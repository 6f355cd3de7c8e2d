"""QType: what codes mean, which types are refused, and its JSON."""

import json
import math

import numpy as np
import pytest

from bitwright.errors import GraphError
from bitwright.qtensor import QType, affine_qtype, to_codes, to_real
from bitwright.schemes import SCHEMES

UNSIGNED = [name for name, scheme in SCHEMES.items() if scheme.activations]
TINY = float(np.finfo(np.float32).tiny)
IMAGE = QType("uint8", (0.1, 0.2, 0.3), (0, 128, 255), (0.0, -0.01, 0.05))


def test_codes_and_reals_are_the_formula():
    qtype = QType("uint4", 0.5, 3)
    codes = np.arange(16, dtype=np.uint8)
    np.testing.assert_array_equal(to_real(codes, qtype), [0.5 * (c - 3) for c in range(16)])
    np.testing.assert_array_equal(to_codes(to_real(codes, qtype), qtype), codes)


def test_binary_codes_stand_for_minus_and_plus_one():
    qtype = QType("binary", 0.5, 1)
    np.testing.assert_array_equal(to_real(np.array([0, 1], np.uint8), qtype), [-0.5, 0.5])
    real = np.array([-9, -0.5, -1e-9, 0.0, 1e-9, 0.5, 9])
    np.testing.assert_array_equal(to_codes(real, qtype), [0, 0, 0, 0, 1, 1, 1])
    assert (qtype.one_unit, qtype.one_shift) == (1.0, 0.5)


def test_to_codes_rounds_half_to_even_and_clips():
    qtype = QType("uint4", 1.0, 0)
    real = np.array([0.5, 1.5, 2.5, 3.5, -0.5, -7.0, 15.4, 15.6, 1e30, -1e30])
    found = to_codes(real, qtype)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [0, 2, 2, 4, 0, 0, 15, 15, 15, 0])


@pytest.mark.parametrize("scheme", UNSIGNED)
@pytest.mark.parametrize("bounds", [(0.0, 6.0), (-1.0, 1.0), (-3.0, -1.0), (2.0, 5.0), (-1e-6, 1e6), (-1e9, 1e-9)])
def test_affine_qtype_covers_the_range_and_hits_zero(scheme, bounds):
    qtype = affine_qtype(scheme, *bounds)
    qtype.check("here", 1)
    codes = SCHEMES[scheme]
    ends = to_real(np.array([0, codes.hi], np.uint8), qtype)
    assert ends[1] - ends[0] == pytest.approx(max(bounds[1], 0) - min(bounds[0], 0))
    if codes.step == 1:
        assert ends[0] <= min(bounds[0], 0) + 0.501 * qtype.one_scale
        assert ends[1] >= max(bounds[1], 0) - 0.501 * qtype.one_scale
        assert to_real(to_codes(np.zeros(1), qtype), qtype)[0] == 0
    assert np.float32(qtype.one_scale) == qtype.one_scale, "the scale must be a float32"


@pytest.mark.parametrize("bounds", [(0, 0), (-0.0, 0.0), (0, 1e-40), (-1e-300, 1e-300)])
def test_a_range_of_no_width_gives_scale_one(bounds):
    qtype = affine_qtype("uint8", *bounds)
    assert qtype == QType("uint8", 1.0, 0)
    qtype.check("here", 1)


@pytest.mark.parametrize(
    ("qtype", "reach"),
    [
        (QType("uint8", 1.0, 0), 255),
        (QType("uint8", 1.0, 255), 255),
        (QType("uint8", 1.0, 128), 128),
        (QType("uint8", 1.0, 127), 128),
        (QType("uint2", 1.0, 1), 2),
        (QType("binary", 1.0, 1), 1),
        (QType("bit", 1.0, 0), 1),
        (QType("uint8", (1.0, 1.0), (128, 100), (0.0, 0.0)), 155),
        (QType("uint8", (1.0, 1.0), (128, 200), (0.0, 0.0)), 200),
    ],
)
def test_reach_is_the_largest_distance_from_the_zero_point(qtype, reach):
    codes = qtype.step * np.arange(qtype.codes.hi + 1)
    assert reach == max(np.abs(codes - zero_point).max() for zero_point in np.atleast_1d(qtype.zero_point))
    assert qtype.reach == reach
    assert type(qtype.reach) is int


@pytest.mark.parametrize("scheme", UNSIGNED)
def test_good_types_pass(scheme):
    hi = SCHEMES[scheme].hi
    for zero_point in {0, hi // 2, hi} & set(SCHEMES[scheme].zero_points):
        for scale in (TINY, 1e-3, 1.0, float(np.finfo(np.float32).max)):
            QType(scheme, scale, zero_point).check("here", 3)
    IMAGE.check("here", 3)


BAD = {
    "signed": QType("int8", 1.0, 0),
    "unknown scheme": QType("uint9", 1.0, 0),
    "zero scale": QType("uint8", 0.0, 0),
    "negative scale": QType("uint8", -1.0, 0),
    "NaN scale": QType("uint8", math.nan, 0),
    "infinite scale": QType("uint8", math.inf, 0),
    "subnormal scale": QType("uint8", TINY / 2, 0),
    "scale past float32": QType("uint8", 1e39, 0),
    "zero point below": QType("uint8", 1.0, -1),
    "zero point above": QType("uint8", 1.0, 256),
    "zero point above a small scheme": QType("uint4", 1.0, 16),
    "binary zero point 0": QType("binary", 1.0, 0),
    "binary zero point 2": QType("binary", 1.0, 2),
    "bit zero point 2": QType("bit", 1.0, 2),
    "ternary": QType("ternary", 1.0, 0),
    "huge zero point": QType("uint8", 1.0, 10**30),
    "scales without zero points": QType("uint8", (1.0, 1.0, 1.0), 0),
    "zero points without scales": QType("uint8", 1.0, (0, 0, 0), (0.0, 0.0, 0.0)),
    "offset of one scale": QType("uint8", 1.0, 0, (0.0,)),
    "two channels of three": QType("uint8", (1.0, 1.0), (0, 0), (0.0, 0.0)),
    "no channels": QType("uint8", (), (), ()),
    "offsets missing": QType("uint8", (1.0, 1.0, 1.0), (0, 0, 0)),
    "one bad scale of three": QType("uint8", (1.0, 0.0, 1.0), (0, 0, 0), (0.0, 0.0, 0.0)),
    "one bad zero point of three": QType("uint8", (1.0, 1.0, 1.0), (0, 0, 256), (0.0, 0.0, 0.0)),
    "NaN offset": QType("uint8", (1.0, 1.0, 1.0), (0, 0, 0), (0.0, math.nan, 0.0)),
    "infinite offset": QType("uint8", (1.0, 1.0, 1.0), (0, 0, 0), (0.0, 0.0, -math.inf)),
}


@pytest.mark.parametrize("qtype", BAD.values(), ids=BAD)
def test_bad_types_are_refused(qtype):
    with pytest.raises(GraphError, match=r"^here:"):
        qtype.check("here", 3)


@pytest.mark.parametrize("qtype", [IMAGE, QType("uint2", 0.1, 3), QType("uint8", 1e-38, 0)])
def test_json_round_trip(qtype):
    assert QType.from_json(json.loads(json.dumps(qtype.to_json())), "here") == qtype


def test_whole_numbers_are_read_as_scales():
    found = QType.from_json({"scheme": "uint8", "scale": 2, "zero_point": 1}, "here")
    assert found == QType("uint8", 2.0, 1)
    assert type(found.scale) is float


GOOD = {"scheme": "uint8", "scale": 1.0, "zero_point": 0}
BAD_JSON: dict[str, object] = {
    "null": None,
    "list": [],
    "string": "uint8",
    "empty": {},
    "no scale": {"scheme": "uint8", "zero_point": 0},
    "unknown key": {**GOOD, "bits": 8},
    "scheme a list": {**GOOD, "scheme": ["uint8"]},
    "scheme null": {**GOOD, "scheme": None},
    "scale a string": {**GOOD, "scale": "1"},
    "scale true": {**GOOD, "scale": True},
    "scale null": {**GOOD, "scale": None},
    "scale nested": {**GOOD, "scale": [[1.0]]},
    "scale past float64": {**GOOD, "scale": 10**400},
    "zero point a float": {**GOOD, "zero_point": 0.0},
    "zero point true": {**GOOD, "zero_point": True},
    "zero point an object": {**GOOD, "zero_point": {}},
    "offset a number": {**GOOD, "offset": 0.0},
    "offset null": {**GOOD, "offset": None},
    "offset of strings": {**GOOD, "offset": ["0"]},
    "offset past float64": {**GOOD, "offset": [-(10**400)]},
}


@pytest.mark.parametrize("record", BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json_is_refused(record):
    with pytest.raises(GraphError, match=r"^here:"):
        QType.from_json(record, "here")
