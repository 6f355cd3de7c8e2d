"""conv2d and linear: every instruction set against the reference, to the bit."""

from typing import Any

import numpy as np
import pytest

from bitwright.engine.native import chosen_kernels
from tests.kernels.agreement import assert_agreement, available
from tests.kernels.random_graph import RandomGraph

SHAPES = [
    # in, height, width, out, kernel, attrs
    (1, 5, 5, 1, 1, {}),
    (3, 9, 7, 5, 3, {}),
    (16, 14, 14, 16, 3, {}),
    (17, 13, 11, 33, 3, {"stride": (2, 2)}),
    (64, 7, 7, 64, 3, {}),
    (64, 8, 8, 80, 1, {}),
    (24, 10, 30, 144, 1, {}),
    (36, 6, 40, 20, 1, {"stride": (2, 2), "padding": (0, 0, 0, 0)}),
    (20, 12, 12, 130, 5, {"stride": (1, 2)}),
    (8, 17, 19, 24, 3, {"dilation": (2, 3), "padding": (2, 3, 2, 3)}),
    (12, 11, 13, 18, (2, 4), {"padding": (0, 1, 2, 3)}),
    (64, 9, 9, 96, 3, {"groups": 2}),
    (24, 9, 9, 48, 3, {"groups": 6}),
    (128, 8, 16, 64, 3, {"groups": 4}),
    (30, 9, 9, 60, 3, {"groups": 30}),
    (512, 3, 3, 100, 3, {}),
    (64, 16, 16, 64, (7, 1), {"padding": (3, 0, 3, 0)}),
    (40, 20, 5, 17, 4, {"stride": (3, 2), "padding": (1, 1, 1, 1)}),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("zp", [0, 128, 255])
def test_convolutions_agree(shape: tuple, zp: int) -> None:
    channels, height, width, out, kernel, attrs = shape
    graph = RandomGraph((3, height, width), seed=zp)
    x = graph.conv2d("input", channels, 1, zp=zp)
    graph.conv2d(x, out, kernel, **attrs)
    graph.dequantize(graph.nodes[-1].name)
    assert_agreement(graph.build(), graph.images(2), threads=(1, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weights", ["int4", "int7"])
def test_products_that_fit_16_bits_agree(shape: tuple, weights: str) -> None:
    """AVX2 multiplies them by VPMADDUBSW: all of int4 and some panels of int7 in twos, the others one by one."""
    channels, height, width, out, kernel, attrs = shape
    graph = RandomGraph((3, height, width), seed=out)
    x = graph.conv2d("input", channels, 1, weights=weights)
    x = graph.conv2d(
        x, out, kernel, residual=graph.conv2d(x, out, kernel, weights=weights, **attrs), weights=weights, **attrs
    )
    graph.dequantize(x)
    assert_agreement(graph.build(), graph.images(2), ["avx2"] if "avx2" in available() else None, threads=(1, 3))


@pytest.mark.parametrize("weight", [64, 63, 33, 32, -32, -33, -64, 65])
@pytest.mark.parametrize("quads", [1, 2, 3])
def test_products_at_the_edge_of_16_bits_agree(weight: int, quads: int) -> None:
    """255 * 64 twice and 255 * 32 four times fit; one more does not."""
    graph = RandomGraph((4 * quads, 4, 4), image_zero_points=(0,) * 4 * quads)
    x = graph.conv2d("input", 40, 1)
    graph.nodes[-1].tensors["weight"][:] = weight
    graph.nodes[-1].tensors["weight"][20:, ::2] = 1
    graph.nodes[-1].tensors["m"][:] = 1e-3
    graph.dequantize(x)
    assert_agreement(graph.build(), np.full((1, 4, 4, 4 * quads), 255, np.uint8))


@pytest.mark.parametrize("weights", ["int8", "int7", "int4"])
@pytest.mark.parametrize("padding", [(1, 1, 1, 1), (0, 0, 0, 0), (2, 0, 1, 3)], ids=str)
@pytest.mark.parametrize(("height", "width"), [(4, 4), (9, 8), (8, 13), (37, 5)])
def test_winograd_agrees(height: int, width: int, padding: tuple[int, ...], weights: str) -> None:
    graph = RandomGraph((3, height, width), seed=height)
    x = graph.conv2d("input", 70, 3, zp=77)
    x = graph.conv2d(x, 70, 3, residual=x)
    x = graph.conv2d(x, 130, 3, weights=weights, padding=padding)
    graph.conv2d(x, 40, 3, weights=weights, to_float=True)
    built = graph.build()
    assert [kernel for _, _, kernel, _ in chosen_kernels(built, ("avx2",))].count("igemm, Winograd") >= 1
    assert_agreement(built, graph.images(2), ["avx2"] if "avx2" in available() else None, threads=(1, 3))


@pytest.mark.parametrize("scheme", ["uint6", "uint4", "bit"])
@pytest.mark.parametrize("weights", ["int8", "int6", "int4"])
@pytest.mark.parametrize("padding", [(1, 1, 1, 1), (0, 0, 0, 0), (2, 0, 1, 3)], ids=str)
@pytest.mark.parametrize(("height", "width"), [(4, 4), (9, 8), (8, 13), (37, 6)])
def test_winograd_in_bytes_agrees(height: int, width: int, padding: tuple[int, ...], weights: str, scheme: str) -> None:
    """Weights of 8 bits are transformed to several bytes each, up to nine."""
    graph = RandomGraph((3, height, width), seed=height)
    zp: dict[str, Any] = {"zp": 5} if scheme != "bit" else {}
    x = graph.conv2d("input", 128, 3, scheme=scheme, **zp)
    x = graph.conv2d(x, 128, 3, weights="int4", scheme=scheme, residual=x, **zp)
    x = graph.conv2d(x, 140, 3, weights=weights, scheme=scheme, padding=padding, **zp)
    if weights == "int8":
        found = graph.nodes[-1].tensors["weight"]
        found[:] = np.clip(np.rint(graph.rng.normal(0, 16, found.shape)), -127, 127)
        found[3, 5], found[77, 5], found[139, 127] = 127, -127, 127
    graph.conv2d(x, 66, 3, weights="int4", to_float=True)
    built = graph.build()
    if scheme != "bit" and height > 4:
        chosen = chosen_kernels(built, ("avx2", "avx512", "avx512vnni"))
        assert "igemm, Winograd in bytes" in [kernel for name, _, kernel, _ in chosen if name == x]
    assert_agreement(built, graph.images(2), threads=(1, 3))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("channels", "fits"), [(1840, True), (1856, False)])
def test_sums_at_the_edge_of_winograd_agree(channels: int, fits: bool, sign: int) -> None:
    """9 * 1842 products of 255 and 127, taken four times, are the most that 32 bits hold."""
    graph = RandomGraph((channels, 8, 8), image_zero_points=(0,) * channels)
    x = graph.conv2d("input", 32, 3, padding=(0, 0, 0, 0))
    graph.nodes[-1].tensors["weight"][:] = 127 * sign
    graph.nodes[-1].tensors["m"][:] = 1e-7
    graph.dequantize(x)
    built = graph.build()
    assert ("igemm, Winograd" in [kernel for _, _, kernel, _ in chosen_kernels(built, ("avx2",))]) == fits
    assert_agreement(built, np.full((1, 8, 8, channels), 255, np.uint8))


@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (3, 1), (4, 4), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_image_is_read_directly(kernel: int, stride: int, channels: int) -> None:
    graph = RandomGraph((channels, 23, 37))
    graph.conv2d("input", 40, kernel, stride=(stride, stride))
    graph.dequantize(graph.nodes[-1].name)
    assert_agreement(graph.build(), graph.images(3))


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("out", [5, 16, 40, 70])
def test_residual_and_table(out: int, table: bool) -> None:
    graph = RandomGraph((3, 9, 10), seed=out)
    r = graph.conv2d("input", out, 1, zp=3)
    x = graph.conv2d(r, 32, 3, zp=200, lo=20, hi=240)
    y = graph.conv2d(x, out, 3, residual=r, zp=7, lo=7)
    if table:
        y = graph.table(y)
    graph.dequantize(graph.conv2d(y, 12, 1))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 2, 4))


@pytest.mark.parametrize("terms", [1, 2, 3, 5, 31, 64, 100, 257, 1280, 5000])
@pytest.mark.parametrize("outs", [1, 10, 100])
def test_linear_agrees(terms: int, outs: int) -> None:
    graph = RandomGraph((terms, 1, 1), seed=terms)
    x = graph.flatten(graph.conv2d("input", terms, 1, groups=terms))
    graph.linear(graph.linear(x, 50, residual=graph.linear(x, 50)), outs, to_float=True)
    assert_agreement(graph.build(), graph.images(3))


def test_flatten_before_linear_keeps_pytorchs_order() -> None:
    graph = RandomGraph((3, 6, 5))
    x = graph.conv2d("input", 21, 3)
    graph.linear(graph.flatten(x), 33, to_float=True)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize(("pixel", "weight"), [(0, 127), (255, 127), (255, -127), (0, -127)])
def test_extreme_codes(pixel: int, weight: int) -> None:
    graph = RandomGraph((64, 4, 4), image_zero_points=(255 - pixel,) * 64)
    x = graph.conv2d("input", 70, 3)
    graph.nodes[-1].tensors["weight"][:] = weight
    graph.nodes[-1].tensors["m"][:] = 2e-6
    graph.dequantize(x)
    images = np.full((1, 4, 4, 64), pixel, np.uint8)
    assert_agreement(graph.build(), images)


@pytest.mark.parametrize("m", [1e30, -1e30, 1e-30])
def test_any_multiplier_clips(m: float) -> None:
    graph = RandomGraph((16, 4, 4))
    x = graph.conv2d("input", 20, 3, lo=3, hi=250)
    graph.nodes[-1].tensors["m"][:] = m
    graph.dequantize(x)
    assert_agreement(graph.build(), graph.images())


@pytest.mark.parametrize("scheme", ["uint2", "uint4", "uint7"])
def test_few_bit_codes(scheme: str) -> None:
    graph = RandomGraph((3, 8, 8))
    x = graph.conv2d("input", 24, 3, scheme=scheme, zp=1)
    graph.dequantize(graph.conv2d(x, 24, 3, scheme=scheme, zp=2))
    assert_agreement(graph.build(), graph.images())


def test_many_threads() -> None:
    graph = RandomGraph((3, 20, 20))
    x = graph.conv2d("input", 48, 3)
    graph.dequantize(graph.conv2d(x, 64, 3, residual=graph.conv2d(x, 64, 1)))
    assert_agreement(graph.build(), graph.images(5), threads=tuple(range(1, 17)))


def test_every_instruction_set_up_to_the_best_is_tested() -> None:
    assert "scalar" in available()


@pytest.mark.parametrize("seed", range(40))
def test_random_shapes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels, out = groups * int(rng.integers(1, 40)), groups * int(rng.integers(1, 80))
    attrs: dict[str, Any] = {
        "stride": tuple(int(s) for s in rng.integers(1, 4, 2)),
        "dilation": tuple(int(d) for d in rng.integers(1, 3, 2)),
        "padding": tuple(int(q) for q in rng.integers(0, 3, 4)),
        "groups": groups,
        "zp": int(rng.integers(0, 256)),
    }
    graph = RandomGraph((3, int(rng.integers(8, 30)), int(rng.integers(8, 30))), seed=seed)
    x = graph.conv2d("input", channels, 1, zp=int(rng.integers(0, 256)))
    graph.dequantize(graph.conv2d(x, out, kernel, **attrs))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 2))
