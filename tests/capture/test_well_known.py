"""Functions are told by what they compute, however they are spelled; others stay as they are."""

import math

import numpy as np
import pytest

from bitwright.capture.well_known import as_known
from bitwright.ops.function import Result, Step

X, ROOT = Result(0), float(np.float32(math.sqrt(2)))
EXP = [Step("neg"), Step("exp", (Result(1),)), Step("add", (Result(2), 1))]
SPELLED = {
    "silu": [*EXP, Step("div", (X, Result(3)))],
    "sigmoid": [*EXP, Step("reciprocal", (Result(3),))],
    "hardswish": [
        *(Step("add", (X, 3.0)), Step("clamp", (Result(1), 0.0, 6.0)), Step("mul", (X, Result(2)))),
        Step("mul", (Result(3), float(np.float32(1 / 6)))),
    ],
    "gelu": [
        *(Step("div", (X, ROOT)), Step("erf", (Result(1),)), Step("add", (Result(2), 1.0)), Step("mul", (X, Result(3)))),
        Step("mul", (Result(4), 0.5)),
    ],
    "mish": [Step("softplus"), Step("tanh", (Result(1),)), Step("mul", (X, Result(2)))],
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLED)
def test_a_function_that_is_spelled_out_has_its_name(name: str) -> None:
    assert list(as_known(SPELLED[name])) == [Step(name)]


@pytest.mark.parametrize("most", [900.0, 4000.0, 1e20])
def test_a_clamp_makes_another_function(most: float) -> None:
    steps = [*SPELLED["silu"], Step("clamp", (Result(4), None, most))]
    assert as_known(steps) is steps


@pytest.mark.parametrize("gain", [1.702, 1.001])
def test_another_function_stays_as_it_is(gain: float) -> None:
    steps = [Step("mul", (X, gain)), Step("sigmoid", (Result(1),)), Step("mul", (X, Result(2)))]
    assert as_known(steps) is steps
