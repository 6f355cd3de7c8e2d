"""Every integer op refuses what is not complete, consistent and safe."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitwright.errors import GraphError
from bitwright.graph import Value
from bitwright.ops import FLOAT_OPS, INTEGER_OPS
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES
from tests.conformance.ops.case import U8, f32, refuse
from tests.conformance.ops.cases import CASES, FIRST, every_op

BAD_VALUES: list[Any] = [
    None,
    "x",
    -1,
    2**40,
    1.5,
    2.0,
    True,
    math.nan,
    (),
    [],
    {},
    (-1,),
    (1.0, 1.0),
    (1, -1),
    ((1, 2, 3),),
    [1, 1],
]


def attrs_of_every_op() -> list[Any]:
    return [pytest.param(c, key, id=f"{op}-{key}") for op, c in FIRST.items() for key in c.node.attrs]


def tensors_of_every_op() -> list[Any]:
    return [
        pytest.param(c, key, id=f"{op}-{key}") for op, c in CASES_WITH_ALL_TENSORS.items() for key in c.node.tensors
    ]


CASES_WITH_ALL_TENSORS = FIRST | {
    name: CASES[name] for name in ("conv2d-residual", "linear-residual", "avg_pool2d-m-per-window")
}


@pytest.mark.parametrize(("case", "key"), attrs_of_every_op())
def test_a_missing_attribute_is_refused(case, key):
    attrs = {k: v for k, v in case.node.attrs.items() if k != key}
    refuse(replace(case, node=replace(case.node, attrs=attrs)))


@every_op
def test_an_extra_attribute_is_refused(case):
    refuse(case.with_attrs(colour="red"))


@pytest.mark.parametrize(("case", "key"), attrs_of_every_op())
@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
def test_a_bad_attribute_is_refused(case, key, value):
    refuse(case.with_attrs(**{key: value}))


@pytest.mark.parametrize(("case", "key"), tensors_of_every_op())
def test_a_missing_tensor_is_refused(case, key):
    tensors = {k: v for k, v in case.node.tensors.items() if k != key}
    refuse(replace(case, node=replace(case.node, tensors=tensors)))


@every_op
def test_an_extra_tensor_is_refused(case):
    refuse(case.with_tensors(extra=f32(1)))


@pytest.mark.parametrize(("case", "key"), tensors_of_every_op())
def test_a_tensor_of_another_dtype_is_refused(case, key):
    for dtype in (np.float64, np.float16, np.int16, np.int64, np.bool_, ">f4"):
        refuse(case.with_tensors(**{key: case.node.tensors[key].astype(dtype)}))


@pytest.mark.parametrize(("case", "key"), tensors_of_every_op())
def test_a_tensor_of_another_shape_is_refused(case, key):
    tensor = case.node.tensors[key]
    for damaged in (
        tensor[None],
        tensor[..., None],
        tensor[:0],
        np.concatenate([tensor, tensor]),
        tensor.reshape(-1)[0],
    ):
        refuse(case.with_tensors(**{key: damaged}))


@pytest.mark.parametrize(("case", "key"), tensors_of_every_op())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-40, -1e-45], ids=str)
def test_a_float_that_is_not_finite_or_not_normal_is_refused(case, key, value):
    tensor = case.node.tensors[key].copy()
    if tensor.dtype != np.float32:
        assert key in ("weight", "table", "codes", "exp")
        return
    tensor.flat[-1] = value
    refuse(case.with_tensors(**{key: tensor}), "not finite|not normal")


@every_op
def test_a_wrong_output_shape_is_refused(case):
    shape = case.output.shape
    for wrong in ((shape[0] + 1, *shape[1:]), (*shape, 1), shape[1:], (), (*shape[:-1], shape[-1] + 1)):
        refuse(replace(case, output=replace(case.output, shape=wrong)))


@every_op
def test_a_float32_input_is_refused(case):
    for i in range(len(case.inputs)):
        inputs = tuple(replace(v, type=None) if j == i else v for j, v in enumerate(case.inputs))
        refuse(replace(case, inputs=inputs), None if case.op.takes_float else "float32")
    assert case.op.takes_float == (case.node.op == "reshape")


@every_op
def test_a_wrong_number_of_inputs_is_refused(case):
    least, most = case.op.arity
    for count in {0, max(least - 1, 0), most + 1} - set(range(least, most + 1)):
        inputs = ((case.inputs or (case.output,)) * (count + 1))[:count]
        node = replace(case.node, inputs=tuple(f"x{i}" for i in range(count)))
        refuse(replace(case, node=node, inputs=inputs), "inputs")


def per_channel(value: Value) -> Value:
    channels = value.shape[0]
    return replace(value, type=QType("uint8", (0.1,) * channels, (3,) * channels, (0.0,) * channels))


@every_op
def test_an_input_of_a_zero_point_per_channel_is_refused_where_it_is_not_taken(case):
    if case.op.takes_image:
        assert case.node.op in ("conv2d", "table", "prelu")
        return
    for i in range(len(case.inputs)):
        inputs = tuple(per_channel(v) if j == i else v for j, v in enumerate(case.inputs))
        refuse(replace(case, inputs=inputs, output=per_channel(case.output)), "per channel")


@every_op
def test_a_result_of_a_zero_point_per_channel_is_refused(case):
    """Only the image has one; `run` adds the one zero point of its result."""
    refuse(replace(case, output=per_channel(case.output)))


@pytest.mark.parametrize("case", [c for c in FIRST.values() if "lo" in c.node.attrs], ids=lambda c: c.node.op)
def test_bounds_that_are_not_codes_in_order_are_refused(case):
    refuse(case.with_attrs(lo=10, hi=9), "lo")
    refuse(case.with_attrs(hi=256))
    refuse(replace(case, output=replace(case.output, type=QType("uint4", 1.0, 0))).with_attrs(hi=16), "lo")
    replace(case, output=replace(case.output, type=QType("uint4", 1.0, 0))).with_attrs(hi=15).validate()


@pytest.mark.parametrize("op", [name for name, op in FLOAT_OPS.items() if op.passes_type])
@pytest.mark.parametrize(
    "type_", [None, QType("uint8", 0.06, 128), QType("uint8", 0.05, 127), QType("uint7", 0.05, 64)]
)
def test_ops_that_move_codes_refuse_a_change_of_type(op, type_):
    c = FIRST[op]
    refuse(replace(c, output=replace(c.output, type=type_)), "one type")


@pytest.mark.parametrize("key", [name for name, c in FIRST.items() if "weight" in c.node.tensors])
@pytest.mark.parametrize("bits", [name for name, s in SCHEMES.items() if s.weights])
def test_a_weight_code_outside_its_scheme_is_refused(key, bits):
    c, scheme = FIRST[key].with_attrs(weights=bits), SCHEMES[bits]
    for value, good in [
        (scheme.lo, True),
        (scheme.hi, True),
        (0, bits != "binary"),
        (scheme.lo - 1, False),
        (min(scheme.hi + 1, 127), bits == "int8"),
    ]:
        weight = np.full_like(c.node.tensors["weight"], scheme.hi)
        weight.flat[-1] = value
        damaged = c.with_tensors(weight=weight)
        if good:
            damaged.validate()
        else:
            refuse(damaged, bits)


@pytest.mark.parametrize(
    "op", [name for name, op in INTEGER_OPS.items() if f"{name}-tokens" in CASES and not op.any_channel]
)
def test_a_result_with_another_channel_than_the_op_gives_is_refused(op):
    c = CASES[f"{op}-tokens"]
    c.validate()
    refuse(replace(c, output=c.output.at(0)), "as its channel")


ON_PLANES = [name for name, op in INTEGER_OPS.items() if op.channel_of((2, 3, 4)) == 0]


@pytest.mark.parametrize("op", ON_PLANES)
def test_ops_on_planes_refuse_channels_that_come_last(op):
    c = FIRST[op]
    refuse(replace(c, inputs=(c.inputs[0].at(2), *c.inputs[1:])), "C, H, W")


@pytest.mark.parametrize("op", ON_PLANES)
def test_ops_on_planes_refuse_features(op):
    c = FIRST[op]
    refuse(replace(c, inputs=(Value((12,), U8),)), "C, H, W")
    refuse(replace(c, inputs=(Value((1, 3, 2, 2), U8),)), "C, H, W")


@pytest.mark.parametrize(
    "op", [name for name, c in FIRST.items() if "m" in c.node.tensors and c.output.type is not None]
)
def test_a_t_beyond_float32_clips_or_is_refused(op):
    c = FIRST[op]
    c = c.with_tensors(m=np.full_like(c.node.tensors["m"], 3e38))
    try:
        c.validate()
    except GraphError:
        return
    assert set(np.unique(c.run())) <= set(range(256))
