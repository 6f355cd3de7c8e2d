"""What single ops refuse: shapes, attributes and types that do not fit. `test_ops_refuse.py` has what all of them refuse."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from tests.conformance.ops.case import U8, Case, f32, refuse
from tests.conformance.ops.cases import CASES, FIRST
from tests.conformance.test_ops_refuse import per_channel


def test_groups_of_a_linear_layer_must_divide_its_inputs():
    c = CASES["linear-groups-2"]
    for shape in ((4, 4), (4, 0), (4, 1), (4, 7), (3, 2), (4, 2, 1)):
        refuse(c.with_tensors(m=np.ones(shape, np.float32)))
    outs, inputs = c.node.tensors["weight"].shape
    refuse(
        c.with_tensors(m=np.ones((outs, 5), np.float32)),
        rf"5 groups do not divide the {inputs} inputs of a weight of \({outs}, {inputs}\)",
    )
    conv = FIRST["conv2d"]
    refuse(conv.with_tensors(m=conv.node.tensors["m"][:, None]), "m must be")


def test_a_residual_of_a_zero_point_per_channel_is_refused():
    for name in ("conv2d-residual", "linear-residual"):
        c = CASES[name]
        refuse(replace(c, inputs=(c.inputs[0], per_channel(c.inputs[1]))))


def test_concat_refuses_inputs_of_two_types():
    c = FIRST["concat"]
    other = Value(c.inputs[1].shape, QType("uint8", 0.5, 1))
    refuse(replace(c, inputs=(c.inputs[0], other, c.inputs[2])), "one type")


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


@pytest.mark.parametrize("op", ["add", "mul"])
def test_inputs_with_different_channels_are_refused(op):
    c = CASES[f"{op}-tokens"]
    refuse(replace(c, inputs=(c.inputs[0], c.inputs[1].at(0))), "one axis as channel")


def test_a_residual_with_another_channel_is_refused():
    c = CASES["linear-tokens-residual"]
    refuse(replace(c, inputs=(c.inputs[0], c.inputs[1].at(0))), "residual")


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


def test_a_prelu_of_too_many_channels_is_refused():
    c, channels = CASES["prelu-features"], 2**16
    for count in (channels, channels + 1):
        wide = c.with_tensors(**{key: np.ones(count, np.float32) for key in ("slope", "before", "after")})
        wide = replace(wide, inputs=(Value((count,), c.inputs[0].type),), output=Value((count,), c.output.type))
        wide.validate() if count == channels else refuse(wide, "at most 65536 channels")
