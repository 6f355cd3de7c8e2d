"""Every integer op in the table computes what docs/arithmetic.md says."""

from dataclasses import replace

import numpy as np
import pytest

from bitwright.ops import FLOAT_OPS, INTEGER_OPS, OPS
from tests.conformance.ops.case import N
from tests.conformance.ops.cases import CASES, FIRST, MAKERS, SLOW, every_case


def test_every_integer_op_is_covered():
    assert set(MAKERS) == set(INTEGER_OPS) == set(SLOW)


def test_every_op_that_may_write_float32_has_such_a_case():
    tested = {case.node.op for case in CASES.values() if case.output.type is None and not case.op.takes_float}
    assert tested == {name for name, op in FLOAT_OPS.items() if op.writes_float}


def test_the_tables_are_keyed_by_name():
    for table in (OPS, FLOAT_OPS, INTEGER_OPS):
        assert all(key == op.name for key, op in table.items())
    assert set(OPS) == set(FLOAT_OPS) | set(INTEGER_OPS)


@every_case
def test_infer_gives_the_shape_of_the_result(case):
    assert case.op.infer(case.node, case.inputs) == replace(case.output, type=None)


@every_case
def test_validate_accepts(case):
    case.validate()  # raises nothing


@every_case
def test_run_gives_what_the_contract_says(case):
    before = [x.copy() for x in case.xs]
    found = case.run()
    expected = np.empty((N, *case.output.shape), np.float32 if case.output.type is None else np.int64)
    for index in np.ndindex(expected.shape):
        expected[index] = SLOW[case.node.op](case, index)
    assert found.shape == expected.shape
    assert found.dtype == (np.float32 if case.output.type is None else np.uint8)
    np.testing.assert_array_equal(found, expected)
    for x, was in zip(case.xs, before, strict=True):
        np.testing.assert_array_equal(x, was, "run changed its input")


READING = {name: case for name, case in CASES.items() if case.xs}


@pytest.mark.parametrize("case", READING.values(), ids=READING)
def test_one_image_at_a_time_gives_the_same(case):
    one_by_one = [replace(case, xs=tuple(x[n : n + 1] for x in case.xs)).run() for n in range(N)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), case.run())


@every_case
def test_the_layout_of_the_input_in_memory_does_not_matter(case):
    channels_last = tuple(np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) for x in case.xs)
    np.testing.assert_array_equal(replace(case, xs=channels_last).run(), case.run())


@pytest.mark.parametrize("op", [name for name, case in FIRST.items() if "lo" in case.node.attrs])
def test_the_cases_reach_both_bounds(op):
    """Otherwise clipping would not be tested."""
    reached = set()
    for name, c in CASES.items():
        if name.startswith(f"{op}-") and c.output.type is not None:
            found = c.run()
            reached |= {key for key in ("lo", "hi") if (found == c.node.attrs[key]).any()}
    assert reached == {"lo", "hi"}
