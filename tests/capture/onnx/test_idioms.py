"""What exporters take apart is put together again: functions, squeeze-and-excite, layer norms and attention."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto

import bitwright as bw
from tests.onnx_models import Array, images, model, op, weights
from tests.onnx_networks import captured, expect_equal, loaded, ops_of, small

HARD_SWISH = [
    *(op("Add", "c three", "a"), op("Clip", "a zero six", "b"), op("Mul", "c b", "d"), op("Div", "d six", "r")),
]  # fmt: skip
GELU = [
    *(op("Div", "c root", "a"), op("Erf", "a", "b"), op("Add", "b one", "d"), op("Mul", "c d", "e"), op("Mul", "e half", "r")),
]  # fmt: skip
NUMBERS = {"three": 3, "zero": 0, "six": 6, "root": 2**0.5, "one": 1, "half": 0.5}


SILU = [op("Sigmoid", "c", "a"), op("Mul", "c a", "r")]


@pytest.mark.parametrize(("name", "spelled"), [("hardswish", HARD_SWISH), ("gelu", GELU), ("silu", SILU)])
def test_functions_that_are_spelled_out_are_one_table(name: str, spelled: list[Any], tmp_path: Path) -> None:
    nodes, tensors = small()
    nodes[1:2] = spelled
    used = {name for node in spelled for name in node.input}
    numbers = {name: np.array(value, np.float32) for name, value in NUMBERS.items() if name in used}
    made = model(nodes, tensors | numbers)
    found = loaded(made, tmp_path)
    expect_equal(found, made, images())
    graph = captured(found)
    assert ops_of(graph) == ["conv2d", "function", "global_avg_pool2d", "reshape", "linear"]
    (step,) = graph.nodes[1].attrs["steps"]
    assert step.name == name


def test_squeeze_and_excite_is_three_layers(tmp_path: Path) -> None:
    nodes, tensors = small()
    nodes[2:2] = [
        *(
            op("GlobalAveragePool", "r", "q"),
            op("Conv", "q u", "u1"),
            op("Add", "u1 v", "u2"),
            op("HardSigmoid", "u2", "u3"),
        ),
        op("Mul", "r u3", "scaled"),
    ]
    nodes[7].input[0] = "scaled"
    made = model(nodes, tensors | weights(u=(4, 4, 1, 1), v=(1, 4, 1, 1)))
    found = loaded(made, tmp_path)
    expect_equal(found, made, images())
    expected = ["conv2d", "global_avg_pool2d", "conv2d", "mul", "global_avg_pool2d", "reshape", "linear"]
    assert ops_of(captured(found)) == expected


@pytest.mark.parametrize("gains", [4, 1])
def test_a_group_norm_that_is_spelled_out_is_one(gains: int, tmp_path: Path) -> None:
    """torch.onnx's older exporter writes one gain and one shift for a norm without."""
    nodes, tensors = small()
    nodes[1:2] = [
        *(op("Shape", "c", "size"), op("Reshape", "c apart", "g"), op("InstanceNormalization", "g ones zeros", "n")),
        *(op("Reshape", "n size", "m"), op("Mul", "m gain", "t"), op("Add", "t shift", "r")),
    ]
    more = {"apart": np.array([0, 2, -1]), "ones": np.ones(2, np.float32), "zeros": np.zeros(2, np.float32)}
    made = model(nodes, tensors | more | weights(gain=(gains, 1, 1), shift=(gains, 1, 1)))
    found = loaded(made, tmp_path)
    expect_equal(found, made, images())
    assert ops_of(captured(found))[:2] == ["conv2d", "group_norm"]


def test_a_layer_norm_with_one_gain_is_one_and_trains(tmp_path: Path) -> None:
    """Written as an op, and spelled out."""
    one = {"gain": np.array([1.5], np.float32), "shift": np.array(0.3, np.float32)}
    mean = [op("ReduceMean", "t", "m", axes=[-1]), op("Sub", "t m", "d"), op("Mul", "d d", "q")]
    rest = [op("ReduceMean", "q", "v", axes=[-1]), op("Add", "v eps", "e"), op("Sqrt", "e", "s"), op("Div", "d s", "n")]
    spelled = [*mean, *rest, op("Mul", "n gain", "g"), op("Add", "g shift", "l")]
    for norm in ([op("LayerNormalization", "t gain shift", "l")], spelled):
        nodes = [op("Transpose", "x", "t", perm=[0, 2, 3, 1]), *norm, op("Flatten", "l", "f"), op("MatMul", "f w", "y")]
        tensors = one | weights(w=(192, 5)) | {"eps": np.array(1e-5, np.float32)}
        made = model(nodes, tensors if norm is spelled else {k: v for k, v in tensors.items() if k != "eps"})
        found = loaded(made, tmp_path)
        expect_equal(found, made, images())
        assert ops_of(captured(found)).count("layer_norm") == 1
        pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
        preprocess = bw.Preprocess(size=8, mean=0.5, std=0.25)
        prepared = bw.prepare_qat(found.float_model, preprocess=preprocess, images=pixels)
        prepared.train()(torch.from_numpy(preprocess.normalise(pixels))).square().sum().backward()
        artifact = bw.quantize(found.float_model, pixels, preprocess=preprocess)
        assert np.array_equal(bw.Engine(artifact)(pixels), bw.Engine(artifact, backend="reference")(pixels))


def test_a_masked_attention_that_is_spelled_out_is_one(tmp_path: Path) -> None:
    """As torch.onnx writes it: a mask made of shapes, and 0 in place of what is not a number."""
    score = [
        *(
            op("Shape", "q", "size"),
            op("Slice", "size zero end zero", "front"),
            op("Concat", "front rows", "wide", axis=0),
        ),
        *(op("Expand", "seen wide", "ones"), op("Where", "ones nought hidden", "mask"), op("MatMul", "q k", "s0")),
        *(op("Mul", "s0 half", "s1"), op("Add", "s1 mask", "s")),
    ]
    numbers = {
        "half": np.array(0.5, np.float32),
        "nought": np.array(0, np.float32),
        "hidden": np.array(-3e38, np.float32),
        "zero": np.array([0]),
        "end": np.array([2]),
        "rows": np.array([16, 16]),
        "seen": np.tril(np.ones((16, 16), bool))[None, None],
    }
    made = attention(score, numbers)
    place = next(i for i, node in enumerate(made.graph.node) if node.op_type == "Softmax")
    made.graph.node.insert(place + 1, op("IsNaN", "p", "lost"))
    made.graph.node.insert(place + 2, op("Where", "lost nought p", "kept"))
    next(node for node in made.graph.node if list(node.input) == ["p", "v"]).input[0] = "kept"
    found = loaded(made, tmp_path)
    expect_equal(found, made, images())
    assert "attention" in ops_of(captured(found))


def attention(score: list[Any], numbers: Mapping[str, Array]) -> ModelProto:
    """Patches, one block of attention of two heads behind a layer norm in its old spelling, and the mean of the tokens."""
    nodes = [
        *(op("Conv", "x patch", "c", strides=[2, 2]), op("Reshape", "c tokens", "flat")),
        *(op("Transpose", "flat", "t", perm=[0, 2, 1]), op("ReduceMean", "t", "m", axes=[-1]), op("Sub", "t m", "d")),
        *(op("Pow", "d two", "sq"), op("ReduceMean", "sq", "var", axes=[-1]), op("Add", "var eps", "ve")),
        *(op("Sqrt", "ve", "rt"), op("Div", "d rt", "n0"), op("Mul", "n0 g", "n1"), op("Add", "n1 b", "n")),
        *(op("MatMul", "n wq", "q0"), op("Add", "q0 bq", "q1"), op("Reshape", "q1 heads", "q2")),
        *(op("MatMul", "n wk", "k0"), op("Reshape", "k0 heads", "k2"), op("Transpose", "k2", "k", perm=[0, 2, 3, 1])),
        *(op("MatMul", "n wv", "v0"), op("Reshape", "v0 heads", "v2"), op("Transpose", "v2", "v", perm=[0, 2, 1, 3])),
        op("Transpose", "q2", "q", perm=[0, 2, 1, 3]),
        *(*score, op("Softmax", "s", "p", axis=-1), op("MatMul", "p v", "o0"), op("Transpose", "o0", "o1", perm=[0, 2, 1, 3])),
        *(op("Reshape", "o1 back", "o"), op("Add", "o t", "sum"), op("ReduceMean", "sum", "pooled", axes=[1], keepdims=0)),
        op("MatMul", "pooled w", "y"),
    ]  # fmt: skip
    made = weights(patch=(8, 3, 2, 2), wq=(8, 8), bq=(8,), wk=(8, 8), wv=(8, 8), w=(8, 5), b=(8,), g=(8,))
    sizes = {"tokens": np.array([0, 8, 16]), "heads": np.array([0, 16, 2, 4]), "back": np.array([0, 16, 8])}
    return model(
        nodes, made | sizes | {"two": np.array(2.0, np.float32), "eps": np.array(1e-6, np.float32), **numbers}, opset=13
    )


SCORES = {
    "scaled behind": [op("MatMul", "q k", "s0"), op("Mul", "s0 half", "s")],
    "divided behind": [op("MatMul", "q k", "s0"), op("Div", "s0 half", "s")],
    "scaled before": [op("Mul", "q half", "qh"), op("Mul", "k half", "kh"), op("MatMul", "qh kh", "s")],
}


@pytest.mark.parametrize("name", SCORES)
def test_attention_and_layer_norm_that_are_spelled_out_are_found(name: str, tmp_path: Path) -> None:
    made = attention(SCORES[name], {"half": np.array(0.5, np.float32)})
    found = loaded(made, tmp_path)
    expect_equal(found, made, images())
    graph = captured(found)
    assert {"attention", "layer_norm"} <= set(ops_of(graph))
    assert not {"batch_norm", "function", "mul"} & set(ops_of(graph))


@pytest.mark.parametrize("behind", [op("Mul", "s1 half", "s"), op("Div", "s1 half", "s")])
def test_a_factor_of_the_mask_too_is_kept(behind: Any, tmp_path: Path) -> None:
    score = [op("MatMul", "q k", "s0"), op("Add", "s0 bias", "s1"), behind]
    bias = np.random.default_rng(0).normal(0, 2, (1, 1, 16, 16)).astype(np.float32)
    made = attention(score, {"half": np.array(0.25, np.float32), "bias": bias})
    expect_equal(loaded(made, tmp_path), made, images())


def test_a_scale_that_is_computed_of_a_width_is_a_number(tmp_path: Path) -> None:
    """1 / sqrt(D), out of a shape that has the batch in it, as torch.onnx writes attention."""
    score = [
        *(
            op("Shape", "q", "size"),
            op("Gather", "size last", "width"),
            op("Cast", "width", "wide", to=1),
            op("Sqrt", "wide", "root"),
        ),
        *(op("MatMul", "q k", "s0"), op("Div", "s0 root", "s")),
    ]
    made = attention(score, {"last": np.array(3)})
    found = loaded(made, tmp_path)
    expect_equal(found, made, images())
    (node,) = (node for node in captured(found).nodes if node.op == "attention")
    assert node.attrs["scale"] == 0.5
