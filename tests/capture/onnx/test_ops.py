"""Every op of the table computes what ONNX's own evaluator computes, in old and new spellings."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from bitwright.capture.onnx import open_onnx
from bitwright.capture.onnx.table import OPS
from tests.onnx_models import LATEST, Array, images, model, op, reference, saved, weights

I = np.int64  # noqa: E741
CASES: dict[str, tuple[list[Any], dict[str, Array], int]] = {}


def case(name: str, nodes: list[Any] | Any, tensors: dict[str, Array] | None = None, opset: int = 17) -> None:
    CASES[name] = (nodes if isinstance(nodes, list) else [nodes], tensors or {}, opset)


for _name in (
    "Abs",
    "Ceil",
    "Cos",
    "Erf",
    "Exp",
    "Floor",
    "Neg",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
):
    case(_name, op(_name, "x", "y"))
for _name in ("Softsign", "Tanh", "Atan", "Identity", "Dropout", "HardSwish", "Elu", "Celu", "Selu", "LeakyRelu"):
    case(_name, op(_name, "x", "y"))
for _name in (
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Flatten",
    "HardSigmoid",
    "ThresholdedRelu",
    "Softmax",
    "LogSoftmax",
):
    case(_name, op(_name, "x", "y"))
for _name in ("Asinh", "Cosh", "Sinh", "LpNormalization"):
    case(_name, op(_name, "x", "y"))
for _name in ("Asin", "Acos", "Atanh"):
    case(_name, [op("Sin", "x", "s"), op("Mul", "s c", "m"), op(_name, "m", "y")], {"c": np.array(0.9, np.float32)})
case("Acosh", [op("Exp", "x", "e"), op("Add", "e c", "m"), op("Acosh", "m", "y")], {"c": np.array(1.1, np.float32)})
for _name in ("Max", "Min", "Sum", "L1", "L2", "SumSquare"):
    case(f"Reduce{_name}", op(f"Reduce{_name}", "x", "y", axes=[2, 3], keepdims=0), opset=12)
    case(f"Reduce{_name} of opset 18", op(f"Reduce{_name}", "x a", "y"), {"a": np.array([1])}, 18)
case("ReduceMax of nothing", op("ReduceMax", "x", "y", noop_with_empty_axes=1), opset=18)
case("ReduceLogSumExp", op("ReduceLogSumExp", "x", "y", axes=[2, 3], keepdims=0), opset=12)
case("ReduceLogSum", [op("Abs", "x", "a"), op("ReduceLogSum", "a", "y", axes=[1])], opset=12)
case("ReduceProd", [op("Sigmoid", "x", "s"), op("ReduceProd", "s", "y", axes=[1, 3], keepdims=0)], opset=12)
case("LogSoftmax within", [op("LogSoftmax", "x", "l", axis=2), op("Relu", "x", "r"), op("Sub", "r l", "y")])
case("LpNormalization of 1", [op("Abs", "x", "a"), op("LpNormalization", "a", "y", p=1, axis=1)])
case("LRN", op("LRN", "x", "y", size=3, alpha=0.5, beta=0.6, bias=2.0))
case("LRN of an even size", op("LRN", "x", "y", size=2, alpha=0.5))
case("RMSNormalization", op("RMSNormalization", "x s", "y", epsilon=0.1), weights(s=(8,)), 23)
case("MeanVarianceNormalization", op("MeanVarianceNormalization", "x", "y", axes=[2, 3]))
for _more in ({}, {"reverse": 1}, {"exclusive": 1}, {"reverse": 1, "exclusive": 1}):
    case(f"CumSum {_more}", op("CumSum", "x a", "y", **_more), {"a": np.array(2)})
case("Einsum", op("Einsum", "x x", "y", equation="nchw,nchv->ncwv"))
case("Mean", [op("Abs", "x", "a"), op("Mean", "x a x", "y")])
case("Tile", op("Tile", "x r", "y"), {"r": np.array([1, 2, 1, 3])})
_TO = {"s": np.array([1, 1, 1.7, 0.6], np.float32), "n": np.array([3, 3, 5, 13])}
for _mode in ("nearest", "linear", "cubic"):
    for _how in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        _named = {"mode": _mode, "coordinate_transformation_mode": _how}
        case(f"Resize, {_mode}, {_how}", op("Resize", ["x", "", "s"], "y", **_named), _TO)
for _how in ("floor", "ceil", "round_prefer_ceil"):
    case(f"Resize, {_how}", op("Resize", ["x", "", "s"], "y", nearest_mode=_how), _TO)
case("Resize, antialiased", op("Resize", ["x", "", "s"], "y", mode="linear", antialias=1), _TO, 19)
case("Resize of two axes", op("Resize", ["x", "", "", "n"], "y", axes=[2, 3]), {"n": np.array([5, 13])}, 19)
_T = weights(w=(3, 2, 3, 3), d=(3, 1, 3, 2), b=(2,))
case("ConvTranspose", op("ConvTranspose", "x w b", "y", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]), _T)
case(
    "ConvTranspose, uneven", op("ConvTranspose", "x w b", "y", strides=[2, 3], pads=[0, 1, 2, 0], dilations=[2, 1]), _T
)
case("ConvTranspose, depthwise", op("ConvTranspose", "x d", "y", group=3), _T)
case("ConvTranspose, SAME_UPPER", op("ConvTranspose", "x w", "y", strides=[2, 2], auto_pad="SAME_UPPER"), _T)
case("ConvTranspose, SAME_LOWER", op("ConvTranspose", "x w", "y", strides=[2, 2], auto_pad="SAME_LOWER"), _T)
_LINE = weights(w=(4, 3, 3), b=(4,)) | {"to": np.array([0, 0, -1])}
case("Conv of a line", [op("Reshape", "x to", "l"), op("Conv", "l w b", "y", strides=[2], pads=[1, 0])], _LINE)
case(
    "ConvTranspose of a line",
    [op("Reshape", "x to", "l"), op("ConvTranspose", "l w d", "y", strides=[2], pads=[1, 0])],
    _LINE | weights(w=(3, 4, 3), d=(4,)),
)
case("MaxPool of a line", [op("Reshape", "x to", "l"), op("MaxPool", "l", "y", kernel_shape=[3], strides=[2])], _LINE)
case(
    "AveragePool of a line",
    [op("Reshape", "x to", "l"), op("AveragePool", "l", "y", kernel_shape=[3], pads=[1, 1])],
    _LINE,
)
case("Attention, causal", op("Attention", "x x x", "y", is_causal=1), opset=23)
case(
    "Attention of tokens",
    [op("Reshape", "x to", "t"), op("Attention", "t t t", "y", q_num_heads=4, kv_num_heads=4)],
    {"to": np.array([0, 8, -1])},
    23,
)
case("Log", [op("Abs", "x", "a"), op("Log", "a", "y")])
case("Tan", op("Tan", "x", "y"))
case("Sqrt", [op("Abs", "x", "a"), op("Sqrt", "a", "y")])
case("Reciprocal", op("Reciprocal", "x", "y"))
case("Selu of other numbers", op("Selu", "x", "y", alpha=2.0, gamma=3.0))
case("Mish", op("Mish", "x", "y"), opset=18)
case("Gelu", op("Gelu", "x", "y", approximate="tanh"), opset=20)
case("HardSigmoid, a sixth", op("HardSigmoid", "x", "y", alpha=1 / 6, beta=0.5))
for _name in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
    case(f"{_name} of a number", op(_name, "x c", "y"), {"c": np.array([2.5], np.float32)})
    case(f"{_name} of channels", op(_name, "x c", "y"), {"c": np.arange(1, 4, dtype=np.float32).reshape(3, 1, 1)})
    case(f"{_name} of two", [op("Abs", "x", "a"), op(_name, "x a", "y")])
case("Sub from a number", op("Sub", "c x", "y"), {"c": np.array(2.5, np.float32)})
case("Sum", [op("Abs", "x", "a"), op("Sum", "x a x", "y")])
case("Pow", op("Pow", "x c", "y"), {"c": np.array(2.0, np.float32)})
case("Clip", op("Clip", "x lo hi", "y"), {"lo": np.array(-0.5, np.float32), "hi": np.array(0.5, np.float32)}, 11)
case("Clip from below", op("Clip", "x lo", "y"), {"lo": np.array(0, np.float32)})
case("PRelu", op("PRelu", "x a", "y"), {"a": np.array([0.1, 0.2, 0.3], np.float32).reshape(3, 1, 1)})
case("Where", [op("Greater", "x c", "b"), op("Where", "b x c", "y")], {"c": np.array(0.3, np.float32)})
for _name in ("Less", "LessOrEqual", "GreaterOrEqual", "Equal"):
    case(_name, [op(_name, "x c", "b"), op("Where", "b x c", "y")], {"c": np.array(0.3, np.float32)})
for _name in ("And", "Or"):
    case(
        _name,
        [*(op("Greater", "x c", "b"), op("Less", "x d", "e"), op(_name, "b e", "f")), op("Where", "f x d", "y")],
        {"c": np.array(0.3, np.float32), "d": np.array(0.8, np.float32)},
    )
case(
    "Not",
    [op("Greater", "x c", "b"), op("Not", "b", "n"), op("Where", "n x c", "y")],
    {"c": np.array(0.3, np.float32)},
)
case("Cast", [op("Cast", "x", "h", to=11), op("Cast", "h", "y", to=1)])
case("CastLike", op("CastLike", "x c", "y"), {"c": np.array(1, np.float32)})
W = weights(w=(4, 3, 3, 3), b=(4,), d=(3, 1, 3, 3), m=(8, 5), g=(5, 192), v=(5,))
case("Conv", op("Conv", "x w b", "y", pads=[1, 1, 1, 1], strides=[2, 2]), W)
case("Conv, uneven padding", op("Conv", "x w", "y", pads=[0, 1, 2, 0]), W)
case("Conv, SAME_UPPER", op("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2]), W)
case("Conv, SAME_LOWER", op("Conv", "x w", "y", auto_pad="SAME_LOWER", strides=[2, 2]), W)
case("Conv, VALID", op("Conv", "x w", "y", auto_pad="VALID", dilations=[2, 2]), W)
case("Conv, depthwise", op("Conv", "x d", "y", group=3), W)
case("Conv and Add", [op("Conv", "x w", "c"), op("Add", "c s", "y")], W | weights(s=(1, 4, 1, 1)))
case("MatMul", op("MatMul", "x m", "y"), W)
case("MatMul and Add", [op("MatMul", "x m", "p"), op("Add", "p v", "y")], W)
case("Gemm", [op("Flatten", "x", "f"), op("Gemm", "f g v", "y", transB=1, alpha=0.5, beta=2.0)], W)
case("Gemm, not transposed", [op("Flatten", "x", "f"), op("Gemm", "f g", "y")], weights(g=(192, 5)))
_BN = weights(s=(3,), b=(3,), m=(3,)) | {"v": np.array([0.5, 1, 2], np.float32)}
case("BatchNormalization", op("BatchNormalization", "x s b m v", "y", epsilon=1e-3), _BN)
case("InstanceNormalization", op("InstanceNormalization", "x s b", "y"), _BN)
case("GroupNormalization", op("GroupNormalization", "x s b", "y", num_groups=3), _BN, LATEST)
case("LayerNormalization", op("LayerNormalization", "x s b", "y", epsilon=1e-3), weights(s=(8,), b=(8,)))
_ONE = {"s": np.array([1.5], np.float32), "b": np.array(0.3, np.float32)}
case("LayerNormalization with one number", op("LayerNormalization", "x s b", "y"), _ONE)
case("RMSNormalization with one number", op("RMSNormalization", "x s", "y"), _ONE, 23)
case("RMSNormalization over two axes", op("RMSNormalization", "x s", "y", axis=2), weights(s=(8,)), 23)
for _opset in (11, 17, 18):
    _axes = {"axes": [-1]} if _opset < 18 else {}
    _x, _d = ("x", "q") if _opset < 18 else ("x axes", "q axes")
    _tensors = {"two": np.array(2, np.float32), "e": np.array(1e-3, np.float32), **weights(s=(8,), b=(8,))}
    _tensors |= {"axes": np.array([-1])} if _opset == 18 else {}
    case(
        f"a layer norm, spelled out in opset {_opset}",
        [
            *(op("ReduceMean", _x, "m", **_axes), op("Sub", "x m", "d"), op("Pow", "d two", "q")),
            *(op("ReduceMean", _d, "v", **_axes), op("Add", "v e", "ve"), op("Sqrt", "ve", "r"), op("Div", "d r", "n")),
            *(op("Mul", "n s", "ns"), op("Add", "ns b", "y")),
        ],
        _tensors,
        _opset,
    )
case(
    "attention, spelled out",
    [
        *(op("Transpose", "x", "k", perm=[0, 1, 3, 2]), op("Mul", "x h", "q"), op("Mul", "k h", "kh")),
        *(op("MatMul", "q kh", "s"), op("Softmax", "s", "p", axis=-1), op("MatMul", "p x", "y")),
    ],
    {"h": np.array(0.5, np.float32)},
)
case("Attention", op("Attention", "x x x", "y", scale=0.3), opset=23)
case("MaxPool", op("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]))
case("MaxPool, uneven", op("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]))
case("MaxPool, rounded up", op("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1))
case("MaxPool, SAME", op("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"))
case("AveragePool", op("AveragePool", "x", "y", kernel_shape=[2, 2], strides=[2, 2]))
case("AveragePool, padded", op("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
case("AveragePool, uneven", op("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[0, 0, 1, 1]))
case("AveragePool, counted", op("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[0, 0, 1, 2], count_include_pad=1))
case("LpPool", op("LpPool", "x", "y", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 0, 1]), opset=18)
case("LpPool of 1", op("LpPool", "x", "y", kernel_shape=[3, 3], p=1))
case("LpPool of 3", op("LpPool", "x", "y", kernel_shape=[2, 2], p=3, auto_pad="SAME_UPPER"))
case("ReduceMean", op("ReduceMean", "x", "y", axes=[2, 3], keepdims=0))
case("ReduceMean, opset 18", op("ReduceMean", "x a", "y"), {"a": np.array([2, 3])}, 18)
case("Softmax of opset 11", [op("Flatten", "x", "f"), op("Softmax", "f", "y")], opset=11)
case("Transpose", op("Transpose", "x", "y", perm=[0, 2, 3, 1]))
case("Reshape", op("Reshape", "x s", "y"), {"s": np.array([0, -1, 4])})
case("Squeeze", [op("GlobalAveragePool", "x", "p"), op("Squeeze", "p a", "y")], {"a": np.array([2, 3])})
case("Squeeze of opset 11", [op("GlobalAveragePool", "x", "p"), op("Squeeze", "p", "y", axes=[2, 3])], opset=11)
case("Unsqueeze", op("Unsqueeze", "x a", "y"), {"a": np.array([1, -1])})
case("Concat", op("Concat", "x x", "y", axis=1))
case(
    "Slice",
    op("Slice", "x s e a t", "y"),
    {"s": np.array([1, -1]), "e": np.array([9, -8]), "a": np.array([2, 3]), "t": np.array([2, 1])},
)
case(
    "Slice, backwards",
    op("Slice", "x s e a t", "y"),
    {"s": np.array([-1]), "e": np.array([-(2**62)]), "a": np.array([1]), "t": np.array([-1])},
)
case("Split", [op("Split", "x s", "a b", axis=1), op("Concat", "b a", "y", axis=1)], {"s": np.array([1, 2])})
case("Split of opset 11", [op("Split", "x", "a b", axis=2), op("Concat", "b a", "y", axis=2)], opset=11)
case("Split of opset 18", [op("Split", "x", "a b", axis=2, num_outputs=2), op("Concat", "b a", "y", axis=2)], opset=18)
case(
    "SplitToSequence",
    [
        *(op("SplitToSequence", "x s", "q", axis=2), op("SequenceAt", "q i", "a"), op("SequenceAt", "q j", "b")),
        op("Concat", "b a", "y", axis=2),
    ],
    {"s": np.array(4), "i": np.array(0), "j": np.array(1)},
)
case("Gather", op("Gather", "x i", "y", axis=1), {"i": np.array([2, 0, -2])})
case("Gather of rows", op("Gather", "x i", "y", axis=1), {"i": np.array([[2, 0], [1, 1]])})
case("Gather of one", op("Gather", "x i", "y", axis=2), {"i": np.array(-1)})
case("GatherND", op("GatherND", "t p", "y"), {"p": np.array([[[2, 0], [1, -1]]])})
case("GatherND of rows", op("GatherND", "t p", "y"), {"p": np.array([[2], [0]])})
case("ScatterND", op("ScatterND", "t p u", "y"), {"p": np.array([[1], [2]])})
case("ScatterND, every second", op("ScatterND", "t p u", "y"), {"p": np.array([[0], [-1]])})
for _name in ("GatherND", "GatherND of rows", "ScatterND", "ScatterND, every second"):
    _turned = [op("Transpose", "x", "t", perm=[1, 0, 2, 3]), op("Slice", "t zero two", "u"), *CASES[_name][0]]
    CASES[_name] = _turned, {"zero": np.array([0]), "two": np.array([2]), **CASES[_name][1]}, 17
case(
    "ScatterElements",
    [op("Slice", "x a b c", "l"), op("Expand", "p s", "i"), op("ScatterElements", "x i l", "y", axis=3)],
    {"a": np.array([0]), "b": np.array([1]), "c": np.array([3]), "p": np.array(5), "s": np.array([3, 3, 8, 1])},
)
case(
    "Col2Im",
    [op("Reshape", "x a", "c"), op("Col2Im", "c size block", "y", pads=[1, 0, 1, 0], strides=[1, 2])],
    {"a": np.array([0, 12, 16]), "size": np.array([5, 9]), "block": np.array([4, 3])},
    18,
)
case("Pad", op("Pad", "x p", "y"), {"p": np.array([0, 0, 1, 0, 0, 0, 0, 2])})
for _mode in ("reflect", "edge", "wrap"):
    case(f"Pad, {_mode}", op("Pad", "x p", "y", mode=_mode), {"p": np.array([0, 0, 1, 0, 0, 0, 0, 2])}, 19)
case(
    "Pad by the least number",
    [op("Pad", "x p v", "q"), op("MaxPool", "q", "y", kernel_shape=[3, 3])],
    {"p": np.array([0, 0, 1, 0, 0, 0, 0, 2]), "v": np.array(np.finfo(np.float32).min)},
)
case(
    "Where of a mask",
    [op("Where", "h x n", "w"), op("Where", "h n w", "y")],
    {"h": np.arange(64).reshape(8, 8) % 3 > 0, "n": np.array(0.5, np.float32)},
)
case(
    "Expand",
    [op("GlobalAveragePool", "x", "p"), op("Expand", "p s", "e"), op("Add", "e x", "y")],
    {"s": np.array([1, 1, 8, 1])},
)
case("DepthToSpace", [op("Concat", "x x x x", "c", axis=1), op("DepthToSpace", "c", "y", blocksize=2)])
case("DepthToSpace, CRD", [op("Concat", "x x x x", "c", axis=1), op("DepthToSpace", "c", "y", blocksize=2, mode="CRD")])
case("SpaceToDepth", op("SpaceToDepth", "x", "y", blocksize=2))
case(
    "padding that is computed, as torch.onnx's older exporter writes it",
    [
        *(op("Shape", "x", "s"), op("Gather", "s first", "h"), op("Mod", "h by", "m"), op("Unsqueeze", "m zero", "u")),
        *(op("ConstantOfShape", "six", "zeros", value=onnx.helper.make_tensor("v", 7, [1], [0])),),
        *(op("Concat", "zeros u zero", "pads", axis=0), op("Pad", "x pads", "y")),
    ],
    {"first": np.array(0), "by": np.array(2), "zero": np.array([0]), "six": np.array([6])},
)
case(
    "padding as torch.onnx's older exporter turns it around",
    [
        *(op("ConstantOfShape", "four", "zeros", value=onnx.helper.make_tensor("v", 7, [1], [0])),),
        *(
            op("Concat", "given zeros", "all", axis=0),
            op("Reshape", "all pairs", "p"),
            op("Slice", "p s e a t", "back"),
        ),
        *(
            op("Transpose", "back", "turned", perm=[1, 0]),
            op("Reshape", "turned flat", "f"),
            op("Cast", "f", "pads", to=7),
        ),
        op("Pad", "x pads", "y"),
    ],
    {
        "given": np.array([1, 2, 3, 0]),
        "four": np.array([4]),
        "pairs": np.array([-1, 2]),
        "flat": np.array([-1]),
        "s": np.array([-1]),
        "e": np.array([-(2**62)]),
        "a": np.array([0]),
        "t": np.array([-1]),
    },
)
case(
    "a shape that is computed",
    [
        *(op("Shape", "x", "s"), op("Gather", "s zero", "n"), op("Unsqueeze", "n axes", "u")),
        *(op("Concat", "u rest", "to", axis=0), op("Reshape", "x to", "y")),
    ],
    {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])},
)
case(
    "a shape that is computed with slices, casts and quotients",
    [
        *(op("Shape", "x", "s"), op("Slice", "s a b", "n"), op("Cast", "n", "c", to=6), op("Cast", "c", "l", to=7)),
        *(op("Slice", "s b d", "w"), op("Div", "w two", "half"), op("Mul", "half two", "whole")),
        *(op("Concat", "l whole minus", "to", axis=0), op("Reshape", "x to", "y")),
    ],
    {"a": np.array([0]), "b": np.array([1]), "d": np.array([2]), "two": np.array([3]), "minus": np.array([-1])},
)


@pytest.mark.parametrize("name", CASES)
def test_an_op_computes_what_onnx_says(name: str, tmp_path: Path) -> None:
    nodes, tensors, opset = CASES[name]
    used = {text for node in nodes for text in node.input}
    made = model(nodes, {key: array for key, array in tensors.items() if key in used}, opset=opset)
    x = images()
    network = open_onnx(str(saved(made, tmp_path))).network
    found = network(torch.from_numpy(x)).detach().numpy()
    expected = reference(made, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_every_op_of_the_table_has_a_case() -> None:
    tried = {node.op_type for nodes, _, _ in CASES.values() for node in nodes}
    assert {name for name in OPS if name[0] != "_"} - tried == {"Swish"}  # of an opset that is not published yet
