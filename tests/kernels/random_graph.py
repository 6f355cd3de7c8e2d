"""Builds integer graphs with random weights whose codes stay spread out, layer after layer, without any float model."""

from dataclasses import replace
from typing import Any

import numpy as np

from bitwright.graph import INPUT, Graph, Node, Shape, Value
from bitwright.ops import INTEGER_OPS
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES

SPREAD = 40.0
"""Standard deviation of the codes that an accumulator is scaled to."""


class RandomGraph:
    """Every method adds a node and returns the name of its value; the shape is inferred."""

    def __init__(self, image: Shape, seed: int = 0, image_zero_points: tuple[int, ...] | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        channels = image[0]
        zero_points = image_zero_points or tuple(int(z) for z in self.rng.integers(90, 140, channels))
        image_type = QType("uint8", (0.02,) * channels, zero_points, (0.0,) * channels)
        self.values: dict[str, Value] = {INPUT: Value(image, image_type)}
        self.nodes: list[Node] = []

    def conv2d(self, x: str, out: int, kernel: int | tuple[int, int], residual: str | None = None, **attrs: Any) -> str:
        """attrs: stride, padding (4), dilation, groups, zp, lo, hi, scheme, weights; padding defaults to 'same'."""
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        groups = attrs.pop("groups", 1)
        same = (kh // 2, kw // 2, kh // 2, kw // 2)
        windows = {
            "stride": attrs.pop("stride", (1, 1)),
            "padding": attrs.pop("padding", same),
            "dilation": attrs.pop("dilation", (1, 1)),
            "groups": groups,
        }
        depth = self.values[x].shape[0] // groups
        weight = self._weight((out, depth, kh, kw), attrs)
        return self._weighted("conv2d", x, residual, weight, windows, attrs)

    def linear(self, x: str, out: int, residual: str | None = None, scales: int = 1, **attrs: Any) -> str:
        """`scales` > 1: as many groups of inputs, each with its own multipliers. attrs as of conv2d, and `most` of a weight."""
        weight = self._weight((out, self.values[x].channels), attrs)
        name = self._weighted("linear", x, residual, weight, {}, attrs)
        if scales > 1:
            tensors = self.nodes[-1].tensors
            m = tensors["m"][:, None] * self.rng.uniform(0.5, 1.5, (out, scales)).astype(np.float32)
            tensors["m"] = m.astype(np.float32)  # type: ignore[index]
        return name

    def batch_norm(self, x: str, **attrs: Any) -> str:
        channels, zp = self.values[x].channels, attrs.get("zp", 128)
        m = self.rng.uniform(-1.5, 1.5, channels).astype(np.float32)
        b = (zp + self.rng.normal(0, 10, channels)).astype(np.float32)
        return self._ranged("batch_norm", (x,), {}, {"m": m, "b": b}, attrs)

    def add(self, a: str, b: str, **attrs: Any) -> str:
        tensors = {key: self.rng.uniform(0.3, 0.9, 1).astype(np.float32) for key in ("m_a", "m_b")}
        return self._ranged("add", (a, b), {}, tensors, attrs)

    def mul(self, a: str, b: str, **attrs: Any) -> str:
        return self._ranged("mul", (a, b), {}, {"m": self.rng.uniform(0.005, 0.02, 1).astype(np.float32)}, attrs)

    def table(self, x: str, per_channel: bool = False, zp: int = 128, scheme: str = "uint8") -> str:
        shape = (self.values[x].channels, 256) if per_channel else (256,)
        table = self.rng.integers(0, QType(scheme, 1.0, 0).codes.hi + 1, shape).astype(np.uint8)
        return self.node("table", (x,), {}, {"table": table}, QType(scheme, 0.02, zp))

    def quantize(self, x: str, scheme: str, per_channel: bool = False) -> str:
        """To `bit` or `binary` by a threshold, of each channel its own where `per_channel`; some are upside down."""
        type_ = QType(scheme, 0.02, 1 if scheme == "binary" else 0)
        highest = self._codes_of(x).codes.hi
        shape = (self.values[x].channels,) if per_channel else (1,)
        thresholds = np.clip(self.rng.normal(highest / 2, highest / 6, (*shape, 1)), 0, highest + 1)
        table = (np.arange(256) >= thresholds) ^ (self.rng.random((*shape, 1)) < 0.3)
        table = np.where(np.arange(256) <= highest, table, False).astype(np.uint8)
        return self.node("table", (x,), {}, {"table": table if per_channel else table[0]}, type_)

    def max_pool2d(
        self, x: str, kernel: int, stride: int, padding: tuple[int, ...] = (0, 0, 0, 0), dilation: int = 1
    ) -> str:
        attrs = {
            "kernel": (kernel, kernel),
            "stride": (stride, stride),
            "padding": padding,
            "dilation": (dilation, dilation),
        }
        return self.node("max_pool2d", (x,), attrs, {}, self.values[x].type)

    def avg_pool2d(
        self, x: str, kernel: int, stride: int, padding: tuple[int, ...] = (0, 0, 0, 0), **attrs: Any
    ) -> str:
        windows = {"kernel": (kernel, kernel), "stride": (stride, stride), "padding": padding}
        m = np.full((1, 1), 1.3 / kernel**2, np.float32)
        if any(padding):
            shape = self._infer(Node("", "avg_pool2d", (x,), windows, {"m": m})).shape
            m = self.rng.uniform(0.8, 1.6, shape[1:]).astype(np.float32) / np.float32(kernel**2)
        return self.node("avg_pool2d", (x,), windows, {"m": m}, self._type(attrs))

    def global_avg_pool2d(self, x: str, **attrs: Any) -> str:
        _, h, w = self.values[x].shape
        return self.node("global_avg_pool2d", (x,), {}, {"m": np.array([1.5 / (h * w)], np.float32)}, self._type(attrs))

    def moved(self, op: str, *inputs: str, channel: int | None = None, **attrs: Any) -> str:
        """concat, slice, pad, reshape, permute; `channel`: the result's channel axis, where it is not the one that follows."""
        name = self.node(op, inputs, attrs, {}, self.values[inputs[0]].type)
        if channel is not None:
            self.values[name] = self.values[name].at(channel)
        return name

    def with_channel(self, x: str, channel: int) -> str:
        """The same codes with another axis as their channel."""
        return self.moved("permute", x, channel=channel, dims=tuple(range(len(self.values[x].shape))))

    def tokens(self, x: str) -> str:
        """Planes [C, H, W] as tokens [H * W, C]."""
        c, h, w = self.values[x].shape
        name = self.moved("permute", self.moved("reshape", x, shape=(c, h * w)), dims=(1, 0))
        self.values[name] = self.values[name].at(1)  # of a single number nobody could tell
        return name

    def planes(self, x: str, height: int) -> str:
        """Tokens [H * W, C] as planes [C, H, W]."""
        t, c = self.values[x].shape
        return self.moved("reshape", self.moved("permute", x, dims=(1, 0)), shape=(c, height, t // height))

    def constant(self, shape: Shape, channel: int = 0, scheme: str = "uint8", zp: int = 128) -> str:
        codes = self.rng.integers(0, SCHEMES[scheme].hi + 1, shape).astype(np.uint8)
        name = self.node("constant", (), {}, {"codes": codes}, QType(scheme, 0.02, zp))
        self.values[name] = self.values[name].at(channel)
        return name

    def flatten(self, x: str) -> str:
        return self.moved("reshape", x, shape=(int(np.prod(self.values[x].shape)),))

    def dequantize(self, x: str) -> str:
        return self.node("dequantize", (x,), {}, {"m": np.array([0.037], np.float32)}, None)

    def build(self) -> Graph:
        return Graph(tuple(self.nodes), self.values, self.nodes[-1].name)

    def images(self, count: int = 1) -> np.ndarray:
        c, h, w = self.values[INPUT].shape
        return self.rng.integers(0, 256, (count, h, w, c)).astype(np.uint8)

    def node(
        self, op: str, inputs: tuple[str, ...], attrs: dict[str, Any], tensors: dict[str, Any], type_: QType | None
    ) -> str:
        name = f"{op}_{len(self.nodes)}"
        node = Node(name, op, inputs, attrs, tensors)
        self.values[name] = replace(self._infer(node), type=type_)
        self.nodes.append(node)
        return name

    def _infer(self, node: Node) -> Value:
        return INTEGER_OPS[node.op].infer(node, [self.values[i] for i in node.inputs])

    def _weight(self, shape: Shape, attrs: dict[str, Any]) -> np.ndarray:
        """Weights of a scheme, or of at most `most`."""
        if attrs.get("weights") == "binary":
            return self.rng.choice([-1, 1], shape).astype(np.int8)
        codes = SCHEMES[attrs.get("weights", "int8")]
        most = attrs.pop("most", codes.hi)
        return self.rng.integers(max(codes.lo, -most), most + 1, shape).astype(np.int8)

    def zero_point(self, x: str) -> int:
        return self._codes_of(x).one_zero_point

    def _codes_of(self, x: str) -> QType:
        type_ = self.values[x].type
        assert type_ is not None
        return type_

    def _type(self, attrs: dict[str, Any]) -> QType | None:
        if attrs.get("to_float"):
            return None
        scheme = attrs.get("scheme", "uint8")
        middle = {"binary": 1, "bit": 0}.get(scheme, (SCHEMES[scheme].hi + 1) // 2)
        return QType(scheme, 0.02, attrs.get("zp", middle))

    def _ranged(
        self, op: str, inputs: tuple[str, ...], more: dict[str, Any], tensors: dict[str, Any], attrs: dict[str, Any]
    ) -> str:
        type_ = self._type(attrs)
        bounds = {"lo": attrs.get("lo", 0), "hi": attrs.get("hi", type_.codes.hi if type_ else 255)}
        return self.node(op, inputs, {**more, **bounds}, tensors, type_)

    def _weighted(
        self, op: str, x: str, residual: str | None, weight: np.ndarray, more: dict[str, Any], attrs: dict[str, Any]
    ) -> str:
        out, terms = weight.shape[0], weight[0].size
        type_ = self._type(attrs)
        highest = type_.codes.hi if type_ else 255
        m = (
            self.rng.uniform(0.5, 1.0, out)
            * SPREAD
            / (70 * 70 * np.sqrt(terms))
            * (highest / self._codes_of(x).codes.hi)
        )
        m *= self.rng.choice([-1, 1, 1, 1], out) * (127 / max(1, int(np.abs(weight).max(initial=0))))
        b = np.float64(type_.one_shift if type_ else 128) + self.rng.normal(0.0, 10 * highest / 255, out)
        tensors = {"weight": weight, "m": m.astype(np.float32), "b": b.astype(np.float32)}
        inputs: tuple[str, ...] = (x,)
        if residual is not None:
            inputs, tensors["m_r"] = (x, residual), np.array([0.61], np.float32)
        return self._ranged(op, inputs, {**more, "weights": attrs.get("weights", "int8")}, tensors, attrs)
