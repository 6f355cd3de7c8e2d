"""Where the codes are: which values share a type, where a quantize is put in, where float32 begins."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.capture import capture, fuse
from bitwright.images.preprocess import Preprocess
from bitwright.ops import FLOAT_OPS
from bitwright.prepared import PreparedModel
from bitwright.prepared.value_types import TypedGraph, assign_types
from bitwright.quantization import calibrate
from bitwright.recipe import Recipe, Rule
from tests.networks import Forward, Parts, assert_equal_codes, pictures

PREPROCESS = Preprocess(size=6, mean=(0.2, 0.5, 0.8), std=0.3)


def typed(forward: Forward) -> TypedGraph:
    """The typed graph of a forward, once they are found consistent and its integers equal everywhere."""
    graph = fuse(capture(Parts(forward).eval(), (3, 6, 6)))
    found = assign_types(graph)
    for node in found.graph.nodes:
        for name in node.inputs:
            assert name == "input" or name in found.owner or node.op == "reshape", f"{node.name} computes with float32"
        if FLOAT_OPS[node.op].passes_type and node.name in found.owner:
            assert {found.owner[name] for name in node.inputs} == {found.owner[node.name]}
    assert set(found.owner) >= set(found.owner.values())
    assert found.graph.output not in found.owner
    assert found.graph.values[found.graph.output].shape == (4,)
    prepared = PreparedModel(graph, PREPROCESS, Recipe()).eval()
    calibrate(prepared, pictures(PREPROCESS, 3), guard=False)
    assert_equal_codes(prepared, pictures(PREPROCESS, 2, seed=1))
    return found


def ops(found: TypedGraph) -> dict[str, tuple[str, ...]]:
    return {node.name: (node.op, *node.inputs) for node in found.graph.nodes}


def pooled(s: Parts, x: Tensor) -> Tensor:
    y: Tensor = s.fc(x.mean((2, 3)))
    return y


# --- the image --------------------------------------------------------------------------------------------------------


def test_convolutions_read_the_pixels_themselves() -> None:
    found = typed(lambda s, x: pooled(s, s.stem(x) * s.stem(x)))
    assert "quantize" not in [op for op, *_ in ops(found).values()]


@pytest.mark.parametrize(
    "forward",
    [
        lambda s, x: s.flat(x.flatten(1)),
        lambda s, x: pooled(s, s.stem(F.max_pool2d(x, 3, 1, 1))),
        lambda s, x: pooled(s, s.stem(F.relu(x - 0.1))),
        lambda s, x: pooled(s, s.stem(torch.cat([x[:, :, 2:], x[:, :, :2]], 2))),
    ],
    ids=["linear", "pool", "norm", "slices"],
)
def test_anything_else_reads_the_image_through_one_quantize(forward: Forward) -> None:
    found = ops(typed(forward))
    assert [name for name, (op, *_) in found.items() if op == "quantize"] == ["input.quantize"]
    assert found["input.quantize"] == ("quantize", "input")
    assert [name for name, (_, *inputs) in found.items() if "input" in inputs] == ["input.quantize"]


def test_pixels_for_the_convolution_and_codes_for_the_rest() -> None:
    def forward(s: Parts, x: Tensor) -> Tensor:
        return pooled(s, s.a(torch.cat([F.relu(s.stem(x)[:, :1]), x], 1)))

    found = ops(typed(forward))
    assert found["stem"] == ("conv2d", "input")
    assert found["concat"][1:] == ("clamp", "input.quantize")


# --- logits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forward", "last"),
    [
        (lambda s, x: pooled(s, s.stem(x)), "linear"),
        (lambda s, x: s.a(s.stem(x)).mean((2, 3)), "reshape"),
        (lambda s, x: F.avg_pool2d(s.stem(x), 6).flatten(1), "reshape"),
    ],
)
def test_the_op_that_computes_the_logits_writes_float32(forward: Forward, last: str) -> None:
    found = typed(forward)
    assert found.graph.nodes[-1].op == last
    assert "dequantize" not in [op for op, *_ in ops(found).values()]


ENDS: dict[str, Forward] = {
    "relu": lambda s, x: F.relu(pooled(s, s.stem(x))),
    "concat": lambda s, x: torch.cat([(h := pooled(s, s.stem(x)))[:, 2:], h[:, :2]], 1),
    "slice": lambda s, x: s.stem(x).flatten(1)[:, :4],
    "max pool": lambda s, x: F.max_pool2d(s.stem(x), 6).flatten(1),
    "hardswish": lambda s, x: F.hardswish(pooled(s, s.stem(x))),
    "softmax-like": lambda s, x: torch.sigmoid(pooled(s, s.stem(x))),
    "logits that are read again": lambda s, x: (h := pooled(s, s.stem(x))) * h,
    "planes that are read again": lambda s, x: (h := s.stem(x).mean((2, 3))) + h,
}


@pytest.mark.parametrize("end", ENDS)
def test_what_cannot_write_float32_is_followed_by_a_dequantize(end: str) -> None:
    found = typed(ENDS[end])
    if "read again" in end:  # the product and the sum write float32 themselves
        assert found.graph.nodes[-1].op in ("mul", "add")
        return
    assert found.graph.nodes[-1].op == "dequantize"
    assert found.graph.output == "logits"


# --- shared types -----------------------------------------------------------------------------------------------------


def test_ops_that_move_codes_keep_the_type() -> None:
    def forward(s: Parts, x: Tensor) -> Tensor:
        x = F.pad(F.max_pool2d(s.stem(x), 2), (0, 1, 0, 1))[:, :, 1:, 1:]
        return pooled(s, s.a(x.permute(0, 1, 3, 2)))

    found = typed(forward)
    assert {found.owner[name] for name in ("max_pool2d", "pad", "slice", "permute")} == {"stem"}
    assert found.owner["a"] == "a"


def test_inputs_that_a_concat_alone_reads_share_its_type() -> None:
    found = typed(lambda s, x: pooled(s, s.b(torch.cat([F.relu(s.stem(x))[:, :2], s.a(s.stem(x))[:, 2:]], 1))))
    assert "quantize" not in [op for op, *_ in ops(found).values()]
    assert len({found.owner[name] for name, (op, *_) in ops(found).items() if op in ("concat", "slice")}) == 1


def test_an_input_that_others_read_too_changes_its_type() -> None:
    def forward(s: Parts, x: Tensor) -> Tensor:
        x = F.relu(s.stem(x))
        return pooled(s, s.b(torch.cat([x[:, :2], s.a(x)[:, :2]], 1)))

    found = typed(forward)
    changed = [name for name, (op, *_) in ops(found).items() if op == "quantize"]
    assert changed == ["concat.quantize_0"]
    assert found.owner["stem"] != found.owner["concat"] == found.owner["concat.quantize_0"]


def test_values_that_several_concats_read_share_one_type() -> None:
    """DenseNet: every layer reads a concat of all before it."""

    def forward(s: Parts, x: Tensor) -> Tensor:
        first = s.stem(x)
        second = s.a(F.relu(torch.cat([first], 1)))
        third = s.b(F.relu(torch.cat([first, second], 1)[:, 2:6]))
        return pooled(s, F.relu(torch.cat([first, second, third], 1))[:, 4:8])

    found = typed(forward)
    joined = [name for name, (op, *_) in ops(found).items() if op == "concat"]
    assert len(joined) == 3
    assert len({found.owner[name] for name in ("stem", "a", "b", *joined)}) == 1


def test_a_concat_inside_a_concat() -> None:
    def forward(s: Parts, x: Tensor) -> Tensor:
        inner = torch.cat([s.stem(x), s.a(s.stem(x))], 1)
        return pooled(s, torch.cat([F.relu(inner), inner], 1)[:, 6:10])

    typed(forward)


def test_the_same_value_twice() -> None:
    found = typed(lambda s, x: pooled(s, F.relu(torch.cat([h := s.stem(x), h], 1))[:, 2:6] * h))
    assert [op for op, *_ in ops(found).values()].count("quantize") == 2


def test_a_residual_has_its_own_type() -> None:
    found = typed(lambda s, x: pooled(s, F.relu(s.a(h := s.stem(x)) + h)))
    assert ops(found)["a"] == ("conv2d", "stem", "stem")
    assert found.owner["a"] != found.owner["stem"]


# --- what nothing multiplies ------------------------------------------------------------------------------------------


def schemes(forward: Forward, recipe: Recipe) -> dict[str, str]:
    found = assign_types(fuse(capture(Parts(forward).eval(), (3, 6, 6))), recipe)
    return {name: found.schemes[owner] for name, owner in found.owner.items()}


def test_what_a_function_or_a_norm_alone_reads_has_8_bits() -> None:
    found = schemes(lambda s, x: pooled(s, s.a(F.silu(s.stem(x)))), Recipe.parse("w4a4"))
    assert (found["stem"], found["silu"]) == ("uint8", "uint4")
    found = schemes(lambda s, x: pooled(s, F.group_norm(s.a(s.stem(x)), 2)), Recipe.parse("w4a4"))
    assert (found["stem"], found["a"]) == ("uint4", "uint8")


def test_what_is_multiplied_as_well_has_the_recipes_bits() -> None:
    found = schemes(lambda s, x: pooled(s, s.a(h := s.stem(x)) + F.silu(h)), Recipe.parse("w4a4"))
    assert found["stem"] == "uint4"


def test_a_rule_for_the_layer_that_writes_it_is_kept() -> None:
    recipe = replace(Recipe.parse("w4a4"), layers=(Rule("stem", activations="uint3"),))
    assert schemes(lambda s, x: pooled(s, s.a(F.silu(s.stem(x)))), recipe)["stem"] == "uint3"
