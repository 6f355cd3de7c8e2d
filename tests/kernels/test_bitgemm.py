"""Bit-gemm and the packing before it: every instruction set against the reference, to the bit."""

from typing import Any

import numpy as np
import pytest

from bitwright.engine.native import chosen_kernels, make_plan
from bitwright.engine.reference import Reference
from tests.kernels.agreement import assert_agreement, available, forced
from tests.kernels.random_graph import RandomGraph

SHAPES = [
    # in, height, width, out, kernel, attrs
    (16, 5, 5, 1, 1, {}),
    (17, 9, 7, 5, 3, {}),
    (32, 14, 14, 16, 3, {}),
    (33, 13, 11, 33, 3, {"stride": (2, 2)}),
    (64, 7, 7, 64, 3, {}),
    (96, 8, 8, 80, 1, {}),
    (256, 6, 10, 48, 3, {}),
    (36, 6, 40, 20, 1, {"stride": (2, 2), "padding": (0, 0, 0, 0)}),
    (40, 12, 12, 130, 5, {"stride": (1, 2)}),
    (65, 17, 19, 24, 3, {"dilation": (2, 3), "padding": (2, 3, 2, 3)}),
    (31, 11, 13, 18, (2, 4), {"padding": (0, 1, 2, 3)}),
    (100, 9, 3, 40, (7, 1), {"padding": (5, 0, 6, 0)}),
]
SCHEMES = [
    # inputs, weights
    ("bit", "binary"),
    ("binary", "binary"),
    ("uint2", "binary"),
    ("bit", "ternary"),
    ("binary", "ternary"),
    ("uint2", "ternary"),
    ("bit", "bit"),
]
KERNEL = {
    "scalar": "bitgemm",
    "avx2": "bitgemm, VPSHUFB",
    "avx512": "bitgemm, VPSHUFB",
    "avx512vnni_novbmi": "bitgemm, VPSHUFB and VPDPBUSD",
    "avx512vnni": "bitgemm, VPOPCNTD",
}


def kernels(graph: RandomGraph) -> list[str]:
    return [step[2] for step in make_plan(graph.build(), 1).time_steps(graph.images())]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("codes", "weights"), SCHEMES)
def test_convolutions_agree(shape: tuple, codes: str, weights: str) -> None:
    channels, height, width, out, kernel, attrs = shape
    graph = RandomGraph((3, height, width), seed=channels)
    x = graph.conv2d("input", channels, 1, scheme=codes)
    x = graph.conv2d(x, out, kernel, weights=weights, scheme=codes, **attrs)
    x = graph.conv2d(x, 37, 3, weights=weights)
    graph.dequantize(x)
    assert_agreement(graph.build(), graph.images(2), threads=(1, 3))


@pytest.mark.parametrize("isa", [isa for isa in KERNEL if isa in available()])
def test_bits_are_counted(isa: str) -> None:
    graph = RandomGraph((3, 8, 8))
    x = graph.conv2d("input", 64, 3, scheme="binary")
    x = graph.conv2d(graph.conv2d(x, 64, 3, weights="binary", scheme="binary"), 20, 3, weights="binary")
    graph.dequantize(x)
    with forced(isa):
        assert kernels(graph).count(KERNEL[isa]) == 2
        assert sum(name.startswith("bitpack") for name in kernels(graph)) == 1, "between them the bits stay bits"


@pytest.mark.parametrize(
    ("isa", "counts"), [("avx2", True), ("avxvnni", False), ("avx512vnni_novbmi", False), ("avx512vnni", True)]
)
def test_two_planes_are_counted_where_that_is_faster(isa: str, counts: bool) -> None:
    graph = RandomGraph((3, 8, 8))
    x = graph.conv2d("input", 64, 3, scheme="uint2")
    graph.dequantize(graph.conv2d(x, 20, 3, weights="binary"))
    needs = {"avx2": [], "avxvnni": ["avxvnni"], "avx512vnni_novbmi": ["avx512", "avx512vnni"]}
    features = ["avx2", *needs.get(isa, ["avx512", "avx512vnni", "avx512vbmi", "avx512vpopcntdq"])]
    assert any(kernel.startswith("bitgemm") for _, _, kernel, _ in chosen_kernels(graph.build(), features)) == counts


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("scheme", ["bit", "binary"])
@pytest.mark.parametrize("channels", [16, 70, 128])
def test_thresholds_on_the_way(channels: int, scheme: str, per_channel: bool) -> None:
    """A quantizer behind 8-bit codes that have other readers, and one that the layer before it does itself."""
    graph = RandomGraph((3, 9, 10), seed=channels)
    x = graph.conv2d("input", channels, 3)
    y = graph.conv2d(graph.quantize(x, scheme, per_channel), channels, 3, weights="binary")
    y = graph.quantize(y, scheme, per_channel)
    y = graph.conv2d(y, channels, 3, residual=x, weights="binary")
    graph.dequantize(graph.conv2d(graph.quantize(y, scheme, per_channel), 20, 1, weights="ternary"))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("codes", ["bit", "binary", "uint2"])
def test_codes_with_a_residual_and_several_readers(codes: str) -> None:
    graph = RandomGraph((3, 9, 10))
    x = graph.conv2d("input", 40, 3, scheme=codes)
    y = graph.conv2d(x, 40, 3, weights="binary", scheme=codes, residual=x)
    z = graph.conv2d(y, 40, 3, weights="binary", residual=y)
    w = graph.max_pool2d(y, 3, 1, (1, 1, 1, 1))
    graph.dequantize(graph.add(z, graph.conv2d(w, 40, 1, weights="ternary", scheme=codes)))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("values", [[0, 1, 0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
@pytest.mark.parametrize("per_channel", [False, True])
def test_any_table_before_bits(values: list[int], per_channel: bool) -> None:
    graph = RandomGraph((3, 6, 6))
    x = graph.conv2d("input", 40, 1, weights="binary")
    table = np.resize(np.array(values, np.uint8).repeat(40), 256)
    for source in (x, graph.conv2d(graph.quantize(x, "bit"), 40, 3, weights="binary")):
        q = graph.quantize(source, "bit", per_channel)
        graph.nodes[-1].tensors["table"][:] = table
        x = graph.conv2d(q, 40, 1, weights="binary")
    graph.dequantize(x)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("terms", [16, 31, 32, 33, 64, 100, 257, 1280, 5000])
@pytest.mark.parametrize("codes", ["bit", "binary", "uint2"])
def test_linear_agrees(terms: int, codes: str) -> None:
    graph = RandomGraph((terms, 1, 1), seed=terms)
    x = graph.flatten(graph.conv2d("input", terms, 1, groups=terms, scheme=codes))
    x = graph.linear(x, 50, weights="binary", scheme=codes)
    graph.linear(x, 10, to_float=True, weights="ternary")
    assert_agreement(graph.build(), graph.images(3))


def test_flatten_before_linear_keeps_pytorchs_order() -> None:
    graph = RandomGraph((3, 6, 5))
    x = graph.conv2d("input", 21, 3, scheme="binary")
    graph.linear(graph.flatten(x), 33, to_float=True, weights="binary")
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("m", [1e30, -1e30, 1e-30, 0.0, 0.5, -0.25])
@pytest.mark.parametrize("b", [-3.0, 0.5, 1.5, 7.25])
@pytest.mark.parametrize(("lo", "hi"), [(0, 1), (0, 0), (1, 1)])
def test_thresholds_of_any_slope(m: float, b: float, lo: int, hi: int) -> None:
    graph = RandomGraph((3, 5, 5))
    x = graph.conv2d("input", 32, 1, scheme="binary")
    x = graph.conv2d(x, 48, 3, weights="binary", scheme="binary", lo=lo, hi=hi)
    graph.nodes[-1].tensors["m"][:] = m
    graph.nodes[-1].tensors["b"][:] = b
    graph.dequantize(graph.conv2d(x, 20, 1, weights="binary"))
    assert_agreement(graph.build(), graph.images(), threads=(1,))


@pytest.mark.parametrize("codes", ["bit", "binary", "uint2"])
def test_every_value_is_still_plain_codes(codes: str) -> None:
    graph = RandomGraph((3, 8, 8))
    x = graph.conv2d("input", 40, 3, scheme=codes)
    x = graph.conv2d(graph.conv2d(x, 40, 3, weights="binary", scheme=codes), 40, 3, weights="binary", scheme=codes)
    graph.linear(graph.flatten(x), 10, to_float=True)
    built, images = graph.build(), graph.images()
    plan = make_plan(built, 1, keep_values=True)
    for found, (name, expected) in zip(plan.values(images), Reference(built).values(images), strict=True):
        expected = expected[0].transpose(2, 0, 1) if name == "input" and expected.shape[-1] == 3 else expected[0]
        np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize("seed", range(30))
def test_random_shapes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, weights = SCHEMES[seed % len(SCHEMES)]
    attrs: dict[str, Any] = {
        "stride": tuple(int(s) for s in rng.integers(1, 4, 2)),
        "dilation": tuple(int(d) for d in rng.integers(1, 3, 2)),
        "padding": tuple(int(q) for q in rng.integers(0, 4, 4)),
    }
    graph = RandomGraph((3, int(rng.integers(8, 30)), int(rng.integers(8, 30))), seed=seed)
    x = graph.conv2d("input", int(rng.integers(16, 140)), 1, scheme=codes)
    kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    x = graph.conv2d(x, int(rng.integers(16, 140)), kernel, weights=weights, scheme=codes, **attrs)
    graph.dequantize(graph.conv2d(x, 20, 3, weights=weights))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 2))
