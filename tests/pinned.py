"""What `pinned.json` is made of: networks of integers, images, and the logits that they have always had.

    python -m tests.pinned      writes pinned.json anew and says what changed

Everywhere else an implementation is compared with another one of today, so a change of all of them at once goes unseen. Nothing
here is trained, calibrated or drawn by PyTorch, whose sums and random numbers differ from processor to processor: weights,
multipliers and images are bytes of SHAKE-256, cut to numbers by exact arithmetic; the artifacts are committed files.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

import bitwright as bw
from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess
from tests.conftest import REPOSITORY
from tests.kernels.random_graph import RandomGraph

KEPT = Path(__file__).with_suffix(".json")
EXAMPLES = sorted((REPOSITORY / "examples" / "cifar10").glob("*.bw.safetensors"))
IMAGES = 4


class Hashed:
    """What a `RandomGraph` asks of NumPy's generator, from a hash: the same numbers with every NumPy, on every machine."""

    def __init__(self, name: str) -> None:
        self._name, self._calls = name, 0

    def _units(self, size: int | tuple[int, ...] | None) -> np.ndarray:
        """Numbers in [0, 1) with 16 bits each, which float64 holds."""
        shape = () if size is None else (size,) if isinstance(size, int) else size
        self._calls += 1
        hashed = hashlib.shake_256(f"{self._name} {self._calls}".encode()).digest(2 * int(np.prod(shape)))
        return np.frombuffer(hashed, "<u2").reshape(shape) / 65536

    def random(self, size: int | tuple[int, ...]) -> np.ndarray:
        return self._units(size)

    def integers(self, low: int, high: int, size: int | tuple[int, ...]) -> np.ndarray:
        return (low + self._units(size) * (high - low)).astype(np.int64)

    def uniform(self, low: float, high: float, size: int | tuple[int, ...] | None = None) -> np.ndarray:
        return low + self._units(size) * (high - low)

    def normal(self, mean: float, deviation: float, size: int | tuple[int, ...]) -> np.ndarray:
        """About normal: the sum of three uniform numbers, whose variance is 1/4."""
        units = self._units(size) + self._units(size) + self._units(size)
        return mean + 2 * deviation * (units - 1.5)

    def choice(self, values: list[int], size: int | tuple[int, ...]) -> np.ndarray:
        return np.array(values)[self.integers(0, len(values), size)]


def begun(name: str, image: tuple[int, int, int]) -> RandomGraph:
    g = RandomGraph(image, image_zero_points=(120, 101, 134)[: image[0]])
    g.rng = Hashed(name)  # type: ignore[assignment]
    return g


def plain() -> Graph:
    """A residual network of 8 bits: strides, dilation, clipped codes, a zero point of its own, groups of a linear layer."""
    g = begun("plain", (3, 14, 14))
    stem = g.conv2d("input", 16, 3, lo=128)
    x = g.conv2d(g.conv2d(stem, 16, 3, zp=100), 16, 3, residual=stem)
    x = g.batch_norm(g.max_pool2d(x, 3, 2, (1, 1, 1, 1)))
    wide = g.conv2d(x, 32, 3, dilation=(2, 2), padding=(2, 2, 2, 2))
    x = g.add(wide, g.conv2d(x, 32, 1))
    x = g.flatten(g.avg_pool2d(x, 3, 2, (1, 1, 1, 1)))
    return ended(g, g.linear(x, 24, scales=4))


def slim() -> Graph:
    """Depthwise and grouped convolutions of 4 bits, tables, squeeze-and-excite, channels shuffled and joined."""
    g = begun("slim", (3, 12, 12))
    x = g.table(g.conv2d("input", 16, 3, stride=(2, 2), weights="int4"))
    x = g.conv2d(g.conv2d(x, 16, 5, groups=16), 24, 1, weights="int4", scheme="uint4")
    squeezed = g.global_avg_pool2d(x)
    x = g.mul(x, g.table(g.conv2d(g.conv2d(squeezed, 8, 1, lo=128), 24, 1), zp=0))
    x = g.conv2d(x, 24, 3, groups=4, weights="int3")
    left = g.moved("slice", x, axis=0, start=0, stop=24, step=2)
    right = g.conv2d(g.moved("slice", x, axis=0, start=1, stop=24, step=2), 12, 3, groups=12)
    right = g.table(right)
    x = g.moved("concat", right, g.table(left), axis=0)
    return ended(g, g.flatten(g.max_pool2d(x, 2, 2)))


def one_bit() -> Graph:
    """Weights and codes of one bit, in both of their senses, and of two and three numbers, with residuals of 8 bits."""
    g = begun("one bit", (3, 12, 12))
    x = g.conv2d("input", 32, 3)
    for scheme, weights in (("binary", "binary"), ("bit", "binary"), ("bit", "ternary"), ("uint2", "ternary")):
        read = g.conv2d(x, 32, 3, scheme=scheme) if scheme == "uint2" else g.quantize(x, scheme, per_channel=True)
        x = g.conv2d(read, 32, 3, residual=x, weights=weights)
    return ended(g, g.flatten(g.max_pool2d(x, 4, 4)))


def tokens() -> Graph:
    """Linear layers over tokens, and back to planes."""
    g = begun("tokens", (3, 8, 8))
    x = g.tokens(g.conv2d("input", 24, 2, stride=(2, 2), padding=(0, 0, 0, 0)))
    x = g.linear(g.table(g.linear(x, 48)), 24, residual=x)
    x = g.add(x, g.constant((16, 24), channel=1))
    return ended(g, g.flatten(g.global_avg_pool2d(g.planes(x, 4))))


def ended(g: RandomGraph, features: str) -> Graph:
    g.linear(features, 10, to_float=True)
    return g.build()


BUILT: dict[str, Callable[[], Graph]] = {made.__name__: made for made in (plain, slim, one_bit, tokens)}
NAMES = (*BUILT, *(path.name for path in EXAMPLES))


def artifact(name: str) -> Artifact:
    if name not in BUILT:
        return bw.load(REPOSITORY / "examples" / "cifar10" / name)
    graph = BUILT[name]()
    channels, height, width = graph.values["input"].shape
    return Artifact(graph, Preprocess(size=(height, width), mode="RGB" if channels == 3 else "L"))


def images(name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Blocks of colour with noise on them, uint8 [N, H, W, C]."""
    hashed, (height, width, channels) = Hashed(f"images of {name}"), shape
    coarse = hashed.integers(0, 226, (IMAGES, -(-height // 4), -(-width // 4), channels))
    blocks = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    return (blocks + hashed.integers(0, 31, blocks.shape)).astype(np.uint8)


def network_digest(made: Artifact) -> str:
    """A hash of every number of the network: where it differs, other logits say nothing about arithmetic."""
    digest = hashlib.sha256()
    for node in made.graph.nodes:
        for key, tensor in sorted(node.tensors.items()):
            digest.update(f"{node.name} {key} {tensor.dtype} {tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def logits(name: str, backend: str | None = None) -> np.ndarray:
    made = artifact(name)
    found: np.ndarray = Engine(made, backend=backend)(images(name, made.preprocess.shape))
    return found


def pinned(name: str) -> dict[str, str]:
    found = logits(name).astype("<f4")
    return {"network": network_digest(artifact(name)), "logits": hashlib.sha256(found.tobytes()).hexdigest()}


def main() -> None:
    before = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    after = {name: pinned(name) for name in NAMES}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            print(f"{name}: {before.get(name)} is now {after.get(name)}")
    KEPT.write_text(json.dumps(after, indent=1) + "\n")


if __name__ == "__main__":
    main()
