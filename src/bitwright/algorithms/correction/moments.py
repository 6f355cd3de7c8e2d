"""Second moments of what a layer reads: all that a squared error of its weights depends on, in memory that images don't add to.

    G = E[(q - E q)(q - E q)^T],  C = E[(x - E x)(q - E q)^T]        x, q [K]: a window of the float, the quantized input
    E |W x - V q|**2 = tr(D G D^T) + what V cannot change,  D = V - W*,  W* = (W C + ridge W)(G + ridge)^-1
The means are left to the layer's `correction`, which costs nothing. One matrix for each group of a convolution.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.path import Path, each_layer
from bitwright.graph import Node
from bitwright.ops import source
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.prepared.ops import windows
from bitwright.schemes import SCHEMES

RIDGE = 0.01
"""The ridge as a share of the mean of G's diagonal: it keeps what was hardly seen near the float weights."""


@dataclass(frozen=True)
class Moments:
    """Float64 `gram`, `cross` [groups, K, K]; `mean`, `mean_q` [groups, K] of the float and the quantized input."""

    gram: Tensor
    cross: Tensor
    mean: Tensor
    mean_q: Tensor

    @classmethod
    def of(cls, node: Node, exact: Path, rounded: Path) -> "Moments":
        """The moments of everything that a node reads on both paths.

        The first images' mean is subtracted before summing, or the difference would be what float32 left of large numbers.
        """
        sums = [torch.zeros((), dtype=torch.float64)] * 4
        count = 0
        origins: list[Tensor] = []
        for rows in exact.rows:
            x, q = (windows(node, path.read(source(node), rows)) for path in (exact, rounded))
            origins = origins or [x.mean(2, keepdim=True), q.mean(2, keepdim=True)]
            x, q = x - origins[0], q - origins[1]
            found = [q @ q.mT, x @ q.mT, x.sum(2), q.sum(2)]
            sums = [total + part.double() for total, part in zip(sums, found, strict=True)]
            count += x.shape[2]
        gram, cross, mean, mean_q = (total / count for total in sums)
        outer = mean_q[:, None, :]
        gram, cross = gram - mean_q[:, :, None] * outer, cross - mean[:, :, None] * outer
        return cls(gram, cross, mean + origins[0][:, :, 0], mean_q + origins[1][:, :, 0])

    def damped(self) -> Tensor:
        """G + ridge: positive definite."""
        size = self.gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
        return self.gram + RIDGE * size[:, None, None] * torch.eye(self.gram.shape[1], dtype=torch.float64)

    def target(self, weight: Tensor) -> Tensor:
        """W*: the real weights [groups, rows, K] that serve the quantized input best, given those of the float model."""
        damped = self.damped()
        right = weight @ (self.cross + damped - self.gram)
        target: Tensor = torch.linalg.solve(damped, right, left=False)
        return target


def grouped(node: Node, weight: Tensor) -> Tensor:
    """A weight [O, ...] as float64 [groups, rows, K]."""
    groups = node.attrs.get("groups", 1)
    return weight.detach().double().reshape(groups, len(weight) // groups, -1)


Solver = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""(weight, target, gram, step, hi) to indices 0..hi of numbers, for the least |step * index - target|_gram; all float64."""


def round_layers(prepared: PreparedModel, calibration: Calibration, most_images: int, solve: Solver) -> None:
    """Round the weights of each layer in turn, with all the layers before it rounded."""
    for layer, node, exact, rounded in each_layer(prepared, calibration, most_images):
        moments = Moments.of(node, exact, rounded)
        assert layer.quantizer is not None
        weight, numbers = layer.tensors()["weight"], SCHEMES[layer.quantizer.scheme]
        real, step = grouped(node, weight), grouped(node, layer.quantizer.step(weight).expand_as(weight))
        target, first = moments.target(real), numbers.lo * step
        last = (numbers.hi - numbers.lo) // numbers.step
        index = solve(real - first, target - first, moments.damped(), numbers.step * step, last)
        set_codes(layer, numbers.lo + numbers.step * index, moments)


@torch.no_grad()
def set_codes(layer: Layer, codes: Tensor, moments: Moments) -> None:
    """Give the layer codes [groups, rows, K], and take the mean of the error that they leave away."""
    weight = layer.tensors()["weight"]
    layer.set_codes(codes.reshape(weight.shape).to(weight.dtype))
    node = layer.node
    wanted = grouped(node, weight) @ moments.mean[:, :, None]
    found = grouped(node, weight + layer.rounding) @ moments.mean_q[:, :, None]
    layer.correction.copy_((wanted - found).reshape(-1) * gain(layer))


def gain(layer: Layer) -> Tensor:
    """What a layer's batch norm multiplies by."""
    tensors = layer.tensors()
    if not layer.has_batch_norm:
        return torch.ones(1)
    deviation = (tensors["bn_var"] + float(layer.node.attrs["eps"])).sqrt()
    return tensors["bn_weight"].detach() / deviation
