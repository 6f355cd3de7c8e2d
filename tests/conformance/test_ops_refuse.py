"""Every integer op refuses what is not complete, consistent and safe."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES
from tests.conformance.ops.case import U8, Case, f32, refuse
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


def test_groups_of_a_linear_layer_must_divide_its_inputs():
    c = CASES["linear-groups-2"]
    for shape in ((4, 4), (4, 0), (4, 1), (4, 7), (3, 2), (4, 2, 1)):
        refuse(c.with_tensors(m=np.ones(shape, np.float32)))
    conv = FIRST["conv2d"]
    refuse(conv.with_tensors(m=conv.node.tensors["m"][:, None]), "m must be")


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
        assert key in ("weight", "table", "codes")
        return
    tensor.flat[-1] = value
    refuse(case.with_tensors(**{key: tensor}), "not finite|not normal")


@every_op
def test_a_wrong_output_shape_is_refused(case):
    shape = case.output.shape
    for wrong in ((shape[0] + 1, *shape[1:]), (*shape, 1), shape[1:], (), (*shape[:-1], shape[-1] + 1)):
        refuse(replace(case, output=Value(wrong, case.output.type)))


@every_op
def test_a_float32_input_is_refused(case):
    for i in range(len(case.inputs)):
        inputs = tuple(Value(v.shape, None if j == i else v.type) for j, v in enumerate(case.inputs))
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
    return Value(value.shape, QType("uint8", (0.1,) * channels, (3,) * channels, (0.0,) * channels))


@every_op
def test_an_input_of_a_zero_point_per_channel_is_refused_where_it_is_not_taken(case):
    if case.op.takes_image:
        assert case.node.op in ("conv2d", "table", "prelu")
        return
    for i in range(len(case.inputs)):
        inputs = tuple(per_channel(v) if j == i else v for j, v in enumerate(case.inputs))
        refuse(replace(case, inputs=inputs, output=per_channel(case.output)), "per channel")


def test_a_residual_of_a_zero_point_per_channel_is_refused():
    for name in ("conv2d-residual", "linear-residual"):
        c = CASES[name]
        refuse(replace(c, inputs=(c.inputs[0], per_channel(c.inputs[1]))))


@every_op
def test_a_result_of_a_zero_point_per_channel_is_refused(case):
    """Only the image has one; `run` adds the one zero point of its result."""
    refuse(replace(case, output=per_channel(case.output)))


@pytest.mark.parametrize("case", [c for c in FIRST.values() if "lo" in c.node.attrs], ids=lambda c: c.node.op)
def test_bounds_that_are_not_codes_in_order_are_refused(case):
    refuse(case.with_attrs(lo=10, hi=9), "lo")
    refuse(case.with_attrs(hi=256))
    refuse(replace(case, output=Value(case.output.shape, QType("uint4", 1.0, 0))).with_attrs(hi=16), "lo")
    replace(case, output=Value(case.output.shape, QType("uint4", 1.0, 0))).with_attrs(hi=15).validate()


SAME_TYPE = ["max_pool2d", "concat", "slice", "pad", "reshape", "permute"]


@pytest.mark.parametrize("op", SAME_TYPE)
@pytest.mark.parametrize(
    "type_", [None, QType("uint8", 0.06, 128), QType("uint8", 0.05, 127), QType("uint7", 0.05, 64)]
)
def test_ops_that_move_codes_refuse_a_change_of_type(op, type_):
    c = FIRST[op]
    refuse(replace(c, output=Value(c.output.shape, type_)), "one type")


def test_concat_refuses_inputs_of_two_types():
    c = FIRST["concat"]
    other = Value(c.inputs[1].shape, QType("uint8", 0.5, 1))
    refuse(replace(c, inputs=(c.inputs[0], other, c.inputs[2])), "one type")


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


def test_a_table_entry_that_is_not_a_code_of_the_result_is_refused():
    c = CASES["table-uint4-to-uint2"]
    table = c.node.tensors["table"].copy()
    for place in (0, 15, 255):
        damaged = table.copy()
        damaged[place] = 4
        refuse(c.with_tensors(table=damaged), "uint2")


def test_a_table_gives_codes_and_dequantize_gives_float32():
    refuse(replace(FIRST["table"], output=Value(FIRST["table"].output.shape, None)), "codes")
    refuse(replace(FIRST["dequantize"], output=Value(FIRST["dequantize"].output.shape, U8)), "float32")


def test_the_image_needs_a_table_per_channel_and_others_may_have_one():
    image, plain = CASES["table-image"], CASES["table-planes"]
    refuse(image.with_tensors(table=image.node.tensors["table"][0]))
    plain.with_tensors(table=np.zeros((3, 256), np.uint8)).validate()
    refuse(plain.with_tensors(table=np.zeros((4, 256), np.uint8)))
    last = Value((3, 2, 2, 5), U8, 3)
    replace(plain, inputs=(last,), output=last).with_tensors(table=np.zeros((5, 256), np.uint8)).validate()
    refuse(replace(plain, inputs=(last,), output=last).with_tensors(table=np.zeros((3, 256), np.uint8)))


@pytest.mark.parametrize("op", ["batch_norm", "add", "mul", "table", "dequantize", "prelu", "linear"])
def test_a_result_with_another_channel_than_the_op_gives_is_refused(op):
    c = CASES[f"{op}-tokens"]
    c.validate()
    refuse(replace(c, output=c.output.at(0)), "as its channel")


@pytest.mark.parametrize("op", ["add", "mul"])
def test_inputs_with_different_channels_are_refused(op):
    c = CASES[f"{op}-tokens"]
    refuse(replace(c, inputs=(c.inputs[0], c.inputs[1].at(0))), "one axis as channel")


def test_a_residual_with_another_channel_is_refused():
    c = CASES["linear-tokens-residual"]
    refuse(replace(c, inputs=(c.inputs[0], c.inputs[1].at(0))), "residual")


@pytest.mark.parametrize("op", ["conv2d", "max_pool2d", "avg_pool2d", "global_avg_pool2d"])
def test_ops_on_planes_refuse_channels_that_come_last(op):
    c = FIRST[op]
    refuse(replace(c, inputs=(c.inputs[0].at(2), *c.inputs[1:])), "C, H, W")


def test_a_linear_layer_refuses_channels_that_do_not_come_last():
    c = CASES["linear-tokens"]
    refuse(replace(c, inputs=(c.inputs[0].at(0),)), "last axis")


def test_what_only_moves_may_have_any_channel():
    c = CASES["permute-120"]
    for channel in range(3):
        replace(c, output=c.output.at(channel)).validate()


def test_binary_codes_cannot_be_padded():
    c = CASES["pad-nothing"]
    value = replace(c.inputs[0], type=QType("binary", 1.0, 1))
    refuse(replace(c, inputs=(value,), output=value), "no zero to pad with")


@pytest.mark.parametrize("op", ["conv2d", "max_pool2d", "avg_pool2d", "global_avg_pool2d"])
def test_ops_on_planes_refuse_features(op):
    c = FIRST[op]
    refuse(replace(c, inputs=(Value((12,), U8),)), "C, H, W")
    refuse(replace(c, inputs=(Value((1, 3, 2, 2), U8),)), "C, H, W")


@pytest.mark.parametrize("name", ["conv2d-plain", "max_pool2d-plain", "avg_pool2d-plain"])
def test_a_window_larger_than_the_padded_image_is_refused(name):
    c = CASES[name]
    refuse(replace(c, inputs=(Value((3, 1, 1), U8),)), "window")


def test_a_max_pool_window_in_the_padding_alone_is_refused():
    c = FIRST["max_pool2d"]
    good = replace(c, inputs=(Value((1, 2, 2), U8),), output=Value((1, 3, 3), U8))
    good = good.with_attrs(kernel=(2, 2), padding=(1, 1, 1, 1))
    good.validate()
    for padding, out in [((2, 0, 0, 0), (1, 3, 1)), ((0, 0, 0, 2), (1, 1, 3))]:
        refuse(replace(good, output=Value(out, U8)).with_attrs(padding=padding), "padding")


def test_a_max_pool_is_refused_where_a_window_sees_nothing_and_only_there():
    """Along one axis, over every small geometry; a dilation wider than the image may be refused in any case."""
    accepted = refused = 0
    for size, taps, stride, before, after, dilation in product(
        (1, 2, 5), (1, 2, 3), (1, 2, 3), range(4), range(4), (1, 2)
    ):
        room = size + before + after - dilation * (taps - 1) - 1
        if room < 0:
            continue
        starts = [i * stride - before for i in range(room // stride + 1)]
        sees = all(any(0 <= start + t * dilation < size for t in range(taps)) for start in starts)
        attrs = {
            "kernel": (taps, 1),
            "stride": (stride, 1),
            "padding": (before, 0, after, 0),
            "dilation": (dilation, 1),
        }
        node = Node("it", "max_pool2d", ("x0",), attrs)
        c = Case(node, (Value((1, size, 1), U8),), Value((1, len(starts), 1), U8), ())
        if sees and size >= dilation:
            c.validate()
            accepted += 1
        elif not sees:
            refuse(c, "padding")
            refused += 1
    assert accepted > 100
    assert refused > 100


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("conv2d-groups", {"groups": 4}),
        ("conv2d-groups", {"groups": 1}),
        ("conv2d-groups", {"groups": 3}),
        ("slice-channels", {"axis": 3}),
        ("slice-channels", {"stop": 6}),
        ("slice-channels", {"start": 3}),
        ("concat-channels", {"axis": 3}),
        ("concat-channels", {"axis": 1}),
        ("permute-120", {"dims": (0, 1)}),
        ("permute-120", {"dims": (1, 1, 0)}),
        ("permute-120", {"dims": (1, 2, 3)}),
        ("reshape-(3,2,4)-0-to-(24,)-0", {"shape": (23,)}),
        ("reshape-(3,2,4)-0-to-(24,)-0", {"shape": (0, 24)}),
        ("pad-nothing", {"padding": ((0, 0), (0, 0))}),
        ("pad-nothing", {"padding": ((0, 0), (0, 0), (0, 1))}),
    ],
)
def test_attributes_that_do_not_fit_the_input_are_refused(name, change):
    refuse(CASES[name].with_attrs(**change))


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("add-planes", [(3, 4, 5), (3, 1, 1)]),
        ("mul-planes", [(3, 4, 5), (3, 4, 1)]),
        ("mul-planes", [(3, 4, 5), (1, 4, 5)]),
        ("mul-planes", [(3, 4, 5), (3,)]),
        ("conv2d-residual", [(3, 4, 4), (2, 1, 1)]),
        ("conv2d-residual", [(3, 4, 4), (2, 4)]),
        ("linear-residual", [(6,), (1,)]),
        ("linear-plain", [(1, 7)]),
        ("concat-channels", [(2, 3), (2,)]),
        ("concat-width", [(3, 2, 2), (3, 2)]),
        ("concat-width", [(3, 2), (3, 2, 2)]),
    ],
)
def test_input_shapes_that_do_not_fit_are_refused(name, shapes):
    c = CASES[name]
    node = replace(c.node, inputs=tuple(f"x{i}" for i in range(len(shapes))))
    refuse(replace(c, node=node, inputs=tuple(Value(s, U8) for s in shapes)))


def test_concat_of_values_with_fewer_axes_is_refused():
    c = FIRST["concat"].with_attrs(axis=1)
    node = replace(c.node, inputs=("x0", "x1"))
    refuse(replace(c, node=node, inputs=(Value((2, 3), U8), Value((2,), U8)), output=Value((2, 4), U8)))


@pytest.mark.parametrize(
    ("name", "tensors"),
    [
        ("conv2d-residual", {"m": f32(3e38, 3e38), "m_r": f32(-3e38)}),
        ("linear-residual", {"m": f32(3e38, 3e38, 3e38), "m_r": f32(3e38)}),
        ("add-planes", {"m_a": f32(3e38), "m_b": f32(-3e38)}),
    ],
)
def test_multipliers_that_could_give_infinity_minus_infinity_are_refused(name, tensors):
    """Its code would be that of NaN, which no two processors agree on."""
    refuse(CASES[name].with_tensors(**tensors))


@pytest.mark.parametrize(
    "name", ["batch_norm-planes", "mul-planes", "conv2d-plain", "linear-plain", "global_avg_pool2d-plain"]
)
def test_a_t_beyond_float32_clips_or_is_refused(name):
    c = CASES[name]
    c = c.with_tensors(m=np.full_like(c.node.tensors["m"], 3e38))
    try:
        c.validate()
    except GraphError:
        return
    assert set(np.unique(c.run())) <= set(range(256))


def test_a_prelu_of_too_many_channels_is_refused():
    c, channels = CASES["prelu-features"], 2**16
    for count in (channels, channels + 1):
        wide = c.with_tensors(**{key: np.ones(count, np.float32) for key in ("slope", "before", "after")})
        wide = replace(wide, inputs=(Value((count,), c.inputs[0].type),), output=Value((count,), c.output.type))
        wide.validate() if count == channels else refuse(wide, "at most 65536 channels")
