"""Single ops of random shapes, native against the reference: `python -m bench.random_shapes [--count 100000] [--kept FILE]`.

Half are convolutions and a quarter linear layers, whose sizes, windows, groups, schemes, bounds and residuals are all drawn;
the rest are the other ops (`GROW` of tests/conformance/ops) on planes of random sizes. The bytes must be the reference's on
every instruction set that the machine has, on 1 to 3 threads. `--kept` counts seeds that are done.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bench.seeds import main
from bitwright.graph import INPUT
from bitwright.schemes import SCHEMES
from tests.conformance.ops.cases import GROW
from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph

OF_VALUES = [name for name, scheme in SCHEMES.items() if scheme.activations]
OF_WEIGHTS = [name for name, scheme in SCHEMES.items() if scheme.weights]
MAX_PRODUCTS = 2**20
"""Of a weighted op, in one image: what NumPy has time for."""


def random_shape(seed: int) -> RandomGraph:
    """A graph of one op, with what gives it codes of a random scheme, and what makes float32 of its result."""
    rng = np.random.default_rng(seed)
    op = str(rng.choice(["conv2d", "conv2d", "linear", rng.choice(OTHERS)]))
    side = 24 if op == "conv2d" else 16
    channels, height, width = (
        int(rng.integers(1, 65) if rng.random() < 0.8 else rng.integers(1, 300)),
        *(int(n) for n in rng.integers(1, side, 2)),
    )
    g = RandomGraph((channels, height, width), seed)
    x = INPUT if op == "conv2d" and rng.random() < 0.3 else coded(g, rng, op)
    x = WEIGHTED[op](g, x, rng) if op in WEIGHTED else GROW[op](g, x)
    if g.values[x].type is not None:
        g.dequantize(x)
    return g


def coded(g: RandomGraph, rng: np.random.Generator, op: str) -> str:
    """The image as codes of another scheme: any for what has weights, for other ops the one that all of them take."""
    if op not in WEIGHTED:
        return g.table(INPUT)
    scheme = str(rng.choice(OF_VALUES))
    if scheme in ("bit", "binary"):
        return g.quantize(INPUT, scheme)
    return g.table(INPUT, zp=int(rng.integers(SCHEMES[scheme].hi + 1)), scheme=scheme)


def results(g: RandomGraph, rng: np.random.Generator) -> dict[str, Any]:
    """The type and the bounds of what a weighted op gives, and its weights' scheme."""
    found: dict[str, Any] = {"weights": str(rng.choice(OF_WEIGHTS)), "to_float": bool(rng.random() < 0.1)}
    if not found["to_float"]:
        found["scheme"] = scheme = str(rng.choice(OF_VALUES))
        if scheme not in ("bit", "binary") and rng.random() < 0.5:
            lo, hi = sorted(int(n) for n in rng.integers(0, SCHEMES[scheme].hi + 1, 2))
            found |= {"lo": lo, "hi": hi}
    return found


def convolution(g: RandomGraph, x: str, rng: np.random.Generator) -> str:
    channels, *sides = g.values[x].shape
    groups = int(rng.choice([d for d in range(1, channels + 1) if channels % d == 0]) if rng.random() < 0.5 else 1)
    stride, dilation = (tuple(int(n) for n in rng.choice([1, 1, 1, 2, 3], 2)) for _ in range(2))
    padding = tuple(int(n) for n in rng.integers(0, 4, 4))
    kernel = [
        int(rng.integers(1, max(1, min(7, 1 + (side + padding[a] + padding[a + 2] - 1) // dilation[a])) + 1))
        for a, side in enumerate(sides)
    ]
    spread = [(side + padding[a] + padding[a + 2] - 1) // stride[a] + 1 for a, side in enumerate(sides)]
    most = MAX_PRODUCTS * groups // (channels * int(np.prod(kernel)) * int(np.prod(spread)))
    out = groups * int(rng.integers(1, max(1, min(130, most) // groups) + 1))
    window: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    return g.conv2d(x, out, (kernel[0], kernel[1]), **window, **results(g, rng))


def linear(g: RandomGraph, x: str, rng: np.random.Generator) -> str:
    x = g.tokens(x) if rng.random() < 0.5 else g.flatten(x)
    depth, pixels = g.values[x].channels, g.values[x].pixels
    out = int(rng.integers(1, max(1, min(300, MAX_PRODUCTS // (depth * pixels))) + 1))
    scales = int(rng.choice([d for d in range(1, 9) if depth % d == 0])) if rng.random() < 0.3 else 1
    return g.linear(x, out, scales=scales, **results(g, rng))


WEIGHTED = {"conv2d": convolution, "linear": linear}
OTHERS = [name for name in GROW if name not in WEIGHTED]


def one(seed: int) -> str:
    g = random_shape(seed)
    assert_agreement(g.build(), g.images(1 + seed % 3), threads=(1 + seed % 3,))
    return next((node.op for node in g.nodes if node.op in WEIGHTED), "others")


if __name__ == "__main__":
    main(__doc__, "shapes", 100_000, Path("random_shapes.json"), one)
