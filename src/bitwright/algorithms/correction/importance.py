"""How much each place of a value matters to the logits: in a vision transformer's last blocks, the class token and little else.

    s[n, p] = mean over r of sum over c of (d (r . y[n]) / d v[n, c, p])**2,   r normal, sum r = 0
for the float model's logits y[n] of an image: what a small error at that place adds to their squared error. Few places of few
images would say all, so each value's s is divided by its mean, and FLOOR times that is added.
The idea is that of Fisher weights (Li et al. 2021, "BRECQ", section 3.3), for each place instead of each number.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.graph import Node
from bitwright.prepared import PreparedModel
from bitwright.walk import compute

PROBES = 2
"""How many r for each image."""
FLOOR = 0.2


class Importance:
    """s of each place [n, places] of the first `most` images, for the values called `names`; its mean is 1."""

    def __init__(self, prepared: PreparedModel, calibration: Calibration, most: int, names: Collection[str]) -> None:
        generator, rows = calibration.generator(), calibration.rows(most)
        self._found: dict[str, Tensor] = {}
        for part in rows:
            images = calibration.images[part].to(prepared.image_scale.device)
            for name, found in _squared_slopes(prepared, images, names, generator).items():
                if name not in self._found:
                    self._found[name] = torch.zeros(rows[-1].stop, found.shape[1])
                self._found[name][part] = found
        for found in self._found.values():
            mean = found.mean()
            found.div_(mean).add_(FLOOR).div_(1 + FLOOR) if 0 < mean < torch.inf else found.fill_(1)

    @classmethod
    def of_layers(cls, prepared: PreparedModel, calibration: Calibration, most: int) -> "Importance":
        """That of what each layer with a weight writes."""
        nodes = prepared.graph.nodes
        return cls(prepared, calibration, most, [node.name for node in nodes if prepared.layer(node.name).quantizer])

    def error(self, name: str, found: Tensor, wanted: Tensor, rows: slice | Tensor, axis: int) -> Tensor:
        """The mean of s * (found - wanted)**2 for a value of these images, whose channel axis is `axis`."""
        squared = (found - wanted).square().movedim(axis, 1)
        return (squared.reshape(*squared.shape[:2], -1) * self.of(name, rows)[:, None].to(squared)).mean()

    def of(self, name: str, rows: slice | Tensor) -> Tensor:
        """Those of some images, [n, places]."""
        return self._found[name][rows]


def _squared_slopes(
    prepared: PreparedModel, images: Tensor, names: Collection[str], generator: torch.Generator
) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}

    def run(node: Node, xs: list[Tensor]) -> Tensor:
        y: Tensor = prepared.layer(node.name)(xs, quantized=False)
        if node.name in names:
            kept[node.name] = y if y.requires_grad else y.requires_grad_()
        return y

    with torch.enable_grad():
        logits = compute(prepared.graph, {prepared.graph.input: prepared.real_input(images)}, run)
    found = {name: torch.zeros(len(images), prepared.graph.values[name].pixels) for name in kept}
    for probe in range(PROBES if kept and logits.requires_grad else 0):
        r = torch.randn(logits.shape, generator=generator).to(logits.device)
        r -= r.mean(1, keepdim=True)
        slopes = torch.autograd.grad(
            logits, list(kept.values()), r, retain_graph=probe + 1 < PROBES, materialize_grads=True
        )
        for (name, total), slope in zip(found.items(), slopes, strict=True):
            axis = prepared.graph.values[name].axis
            total += slope.square().movedim(axis, 1).sum(1).reshape(len(slope), -1).nan_to_num(0, 0, 0).cpu() / PROBES
    return found
