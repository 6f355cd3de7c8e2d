"""Second moments of what a layer reads: all that a squared error of its weights depends on, in memory that images don't add to.

    G = E[(q - E q)(q - E q)^T],  C = E[(x - E x)(q - E q)^T]        x, q [K]: a window of the float, the quantized input
    E |W x - V q|**2 = tr(D G D^T) + what V cannot change,  D = V - W*,  W* = (W C + ridge W)(G + ridge)^-1
Each place counts as much as it matters to the logits (importance.py). W* makes good for the error of the layers before, or
fits the noise of few images: only the share t of W* - W is taken that serves the other half of the images best,
    t = tr((W C - W G) d^T) / tr(d G d^T) within 0..1,   d = W* - W of one half, C and G of the other, summed over both.
The means are left to the layer's `correction`, which costs nothing. One matrix for each group of a convolution.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.importance import Importance
from bitwright.algorithms.correction.path import Path, each_layer
from bitwright.graph import Node
from bitwright.ops import source
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.prepared.ops import windows
from bitwright.schemes import SCHEMES

RIDGE = 0.01
"""The ridge as a share of the mean of G's diagonal: it keeps what was hardly seen near the float weights."""

NOISE = 1e-20
"""The least change of a result, as a share of its square, that is more than float64's rounding."""


@dataclass(frozen=True)
class Moments:
    """Float64 `gram`, `cross` [groups, K, K]; `mean`, `mean_q` [groups, K] of the float and the quantized input.

    `halves` are the same of every other image, and of the rest.
    """

    gram: Tensor
    cross: Tensor
    mean: Tensor
    mean_q: Tensor
    halves: tuple["Moments", ...] = ()

    @classmethod
    def of(cls, node: Node, exact: Path, rounded: Path, importance: Importance) -> "Moments":
        """The moments of everything that a node reads on both paths, each place as important as what it writes.

        The first images' mean is subtracted before summing, or the difference would be what float32 left of large numbers.
        """
        sums = [[torch.zeros((), dtype=torch.float64)] * 5] * 2
        origins: list[Tensor] = []
        for rows in exact.rows:
            x, q = (windows(node, path.read(source(node), rows)) for path in (exact, rounded))
            s = importance.of(node.name, rows).flatten().to(x)
            origins = origins or [x.mean(2, keepdim=True), q.mean(2, keepdim=True)]
            x, q = x - origins[0], q - origins[1]
            image = torch.arange(rows.start, rows.stop, device=x.device).repeat_interleave(
                len(s) // (rows.stop - rows.start)
            )
            for i in range(2):
                half = image % 2 == i
                read, read_q, weighted = x[:, :, half], q[:, :, half], q[:, :, half] * s[half]
                found = [
                    weighted @ read_q.mT,
                    read @ weighted.mT,
                    (read * s[half]).sum(2),
                    weighted.sum(2),
                    s[half].sum(),
                ]
                sums[i] = [total + part.double() for total, part in zip(sums[i], found, strict=True)]
        halves = tuple(cls._from(*half, *origins) for half in sums)
        both = cls._from(*(a + b for a, b in zip(*sums, strict=True)), *origins)
        return replace(both, halves=halves)

    @classmethod
    def _from(
        cls, gram: Tensor, cross: Tensor, x: Tensor, q: Tensor, weight: Tensor, origin: Tensor, origin_q: Tensor
    ) -> "Moments":
        """Those of sums, of numbers that the origins [groups, K, 1] were subtracted from."""
        gram, cross, mean, mean_q = (total / weight.clamp_min(1e-300) for total in (gram, cross, x, q))
        outer = mean_q[:, None, :]
        gram, cross = gram - mean_q[:, :, None] * outer, cross - mean[:, :, None] * outer
        return cls(gram, cross, mean + origin[:, :, 0], mean_q + origin_q[:, :, 0])

    def damped(self) -> Tensor:
        """G + ridge: positive definite."""
        size = self.gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
        return self.gram + RIDGE * size[:, None, None] * torch.eye(self.gram.shape[1], dtype=torch.float64)

    def target(self, weight: Tensor) -> Tensor:
        """W + t (W* - W) for the float model's weights [groups, rows, K]."""
        gained, spent = (torch.zeros(len(weight), 1, 1, dtype=torch.float64) for _ in range(2))
        for learned, judge in (self.halves, self.halves[::-1]):
            change = learned.best(weight) - weight
            gained += ((weight @ (judge.cross - judge.gram)) * change).sum((1, 2), keepdim=True)
            spent += ((change @ judge.gram) * change).sum((1, 2), keepdim=True)
        size = ((weight @ self.gram) * weight).sum((1, 2), keepdim=True)
        share = torch.where(spent > NOISE * size, gained / spent, 0).clamp(0, 1)
        return torch.lerp(weight, self.best(weight), share)

    def best(self, weight: Tensor) -> Tensor:
        """W*: the real weights that serve the quantized input best, given those of the float model."""
        damped = self.damped()
        right = weight @ (self.cross + damped - self.gram)
        found: Tensor = torch.linalg.solve(damped, right, left=False)
        return found


def grouped(node: Node, weight: Tensor) -> Tensor:
    """A weight [O, ...] as float64 [groups, rows, K]."""
    groups = node.attrs.get("groups", 1)
    return weight.detach().double().reshape(groups, len(weight) // groups, -1)


Solver = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""(weight, target, gram, step, hi) to indices 0..hi of numbers, for the least |step * index - target|_gram; all float64."""


def round_layers(
    prepared: PreparedModel, calibration: Calibration, most_images: int, importance: Importance, solve: Solver
) -> None:
    """Round the weights of each layer in turn, with all the layers before it rounded."""
    for layer, node, exact, rounded in each_layer(prepared, calibration, most_images):
        moments = Moments.of(node, exact, rounded, importance)
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
