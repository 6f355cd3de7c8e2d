"""Quantized files as torchao and TensorRT's tools write them: their scales and weights are kept, and what is not is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitwright as bw
from bench.small_onnx import by_torchao

pytest.importorskip("onnxruntime")

from tests.capture.onnx.test_quantized import PIXELS, PREPROCESS, read, run
from tests.onnx_models import Array, model, op, saved, weights


def quantized(name: str, x: str, scale: float, tensors: dict[str, Array]) -> list[Any]:
    """int8 codes without a zero point around a value: as TensorRT takes them."""
    tensors |= {f"{name}_s": np.array(scale, np.float32), f"{name}_z": np.array(0, np.int8)}
    q = op("QuantizeLinear", f"{x} {name}_s {name}_z", f"{name}_q")
    return [q, op("DequantizeLinear", f"{name}_q {name}_s {name}_z", name)]


def of_weight(name: str, tensors: dict[str, Array], *, stored: bool) -> list[Any]:
    """A scale for each output; the weight in float32 in front of both, or `stored` as its codes."""
    weight = tensors[f"{name}.w"]
    scale = (np.abs(weight).reshape(len(weight), -1).max(1) / 127).astype(np.float32)
    tensors |= {f"{name}_s": scale, f"{name}_z": np.zeros(len(scale), np.int8)}
    read = op("DequantizeLinear", f"{name}_q {name}_s {name}_z", name, axis=0)
    if stored:
        tensors[f"{name}_q"] = codes(weight)
        del tensors[f"{name}.w"]
        return [read]
    return [op("QuantizeLinear", f"{name}.w {name}_s {name}_z", f"{name}_q", axis=0), read]


def codes(weight: Array) -> Array:
    scale = np.abs(weight).reshape(len(weight), -1).max(1).astype(np.float32) / np.float32(127)
    return np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)


@pytest.mark.parametrize("stored", [False, True])
def test_files_for_tensorrt_keep_weights_and_scales(stored: bool, tmp_path: Path) -> None:
    """QDQ in front of layers and of the sum's second operand, none between a convolution and its relu, biases in float32."""
    tensors: dict[str, Array] = {
        **weights(a__w=(8, 3, 3, 3), a__b=(8,), b__w=(8, 8, 3, 3), fc__w=(5, 8), fc__b=(5,)),
        **{f"n__{key}".replace("__", "."): np.full(8, value, np.float32) for key, value in (("g", 1.1), ("b", 0.1))},
        "n.m": np.full(8, 0.05, np.float32),
        "n.v": np.full(8, 0.9, np.float32),
    }
    real = dict(tensors)
    nodes = [
        *(*quantized("xq", "x", 1 / 127, tensors), *of_weight("a", tensors, stored=stored)),
        *(op("Conv", "xq a a.b", "c1", pads=[1] * 4), op("Relu", "c1", "r1")),
        *(*quantized("r1q", "r1", 2.5 / 127, tensors), *of_weight("b", tensors, stored=stored)),
        *(op("Conv", "r1q b", "c2", pads=[1] * 4), op("BatchNormalization", "c2 n.g n.b n.m n.v", "n2")),
        *(*quantized("r1s", "r1", 2.5 / 127, tensors), op("Add", "n2 r1s", "sum"), op("Relu", "sum", "r2")),
        *(*quantized("r2q", "r2", 4 / 127, tensors), op("GlobalAveragePool", "r2q", "p"), op("Flatten", "p", "f")),
        *(*quantized("fq", "f", 2 / 127, tensors), *of_weight("fc", tensors, stored=stored)),
        op("Gemm", "fq fc fc.b", "y", transB=1),
    ]
    made, told = read(saved(model(nodes, tensors, opset=13), tmp_path), PIXELS)
    assert told == [
        "the file is quantized: 4 of 4 types of values and the scales of 3 of 3 layers' weights are its own"
    ]
    layers = [node for node in made.graph.nodes if "weight" in node.tensors]
    for name, node in zip(("a", "b", "fc"), layers, strict=True):
        expected = codes(real[f"{name}.w"])
        assert np.array_equal(node.tensors["weight"].reshape(expected.shape), expected), name
    types = [made.graph.values[node.name].type for node in made.graph.nodes[:-1]]
    assert {np.float32(type_.one_scale) for type_ in types if type_} == {np.float32(s / 127) for s in (1, 2.5, 4, 2)}
    theirs = run(tmp_path / "m.onnx", PREPROCESS.normalise(PIXELS))
    step = 2 / 127 * np.abs(real["fc.w"]).max()
    assert np.abs(bw.Engine(made)(PIXELS) - theirs).max() < 1.5 * step


@pytest.mark.filterwarnings("ignore")  # torchao's own
def test_a_file_of_torchao_keeps_weights_and_scales(tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    by_torchao(tmp_path / "m.onnx")
    made, told = read(tmp_path / "m.onnx", PIXELS)
    assert "7 of 12 types of values and the scales of 5 of 5 layers' weights are its own" in told[-1]
    theirs = run(tmp_path / "m.onnx", PREPROCESS.normalise(PIXELS))
    assert np.abs(bw.Engine(made)(PIXELS) - theirs).max() < 0.05 * np.abs(theirs).max()
