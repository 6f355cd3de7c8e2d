"""What algorithms that learn by gradient share: a run of nodes with stand-ins for its layers, and what is learned of it.

Products run in bfloat16, which is a few times as fast; what they are rounded to is float32.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from bitwright.algorithms.correction.drop_round import Masks, drop_round
from bitwright.graph import Node
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.prepared.quantizers import ActivationQuantizer
from bitwright.walk import compute_all

Run = Callable[[list[Tensor]], Tensor]


def run_with(layer: Layer, weight: Tensor, xs: list[Tensor]) -> Tensor:
    """A layer's result with another weight, its correction included."""
    return layer.function({**layer.corrected(), "weight": weight}, xs)


def run_nodes(
    prepared: PreparedModel,
    nodes: Sequence[Node],
    values: dict[str, Tensor],
    stand_ins: Mapping[str, Run],
    masks: Masks | None = None,
) -> Tensor:
    """Compute the nodes into `values` and return the last result; `masks` say which numbers are rounded, else all."""

    def run(node: Node, xs: list[Tensor]) -> Tensor:
        stand_in = stand_ins.get(node.name)
        with torch.autocast("cpu", torch.bfloat16):
            y = stand_in(xs) if stand_in is not None else prepared.layer(node.name)(xs, quantized=True)
        y = y.float()
        quantizer = prepared.quantizer(node.name)
        return y if quantizer is None else drop_round(y, quantizer, None if masks is None else masks.like(y))

    return compute_all(nodes, values, run)[nodes[-1].name]


def quantizers_of(prepared: PreparedModel, nodes: Iterable[Node]) -> list[ActivationQuantizer]:
    """The quantizers of the values that these nodes write, each once."""
    found = (prepared.quantizer(node.name) for node in nodes)
    return list({quantizer.name: quantizer for quantizer in found if quantizer is not None}.values())


def weighted(prepared: PreparedModel, nodes: Iterable[Node]) -> list[Layer]:
    """The layers of these nodes that have a weight."""
    layers = (prepared.layer(node.name) for node in nodes)
    return [layer for layer in layers if layer.quantizer is not None]


def state_of(prepared: PreparedModel, nodes: Sequence[Node]) -> list[Tensor]:
    """Every scale, correction and rounding of these nodes, as it is now."""
    found = [quantizer.scale.detach().clone() for quantizer in quantizers_of(prepared, nodes)]
    for layer in weighted(prepared, nodes):
        assert layer.quantizer is not None
        found += [layer.quantizer.scale.clone(), layer.correction.detach().clone(), layer.rounding]
    return found


@torch.no_grad()
def restore(prepared: PreparedModel, nodes: Sequence[Node], state: list[Tensor]) -> None:
    """Give these nodes the state that `state_of` found."""
    values = iter(state)
    for quantizer in quantizers_of(prepared, nodes):
        quantizer.scale.copy_(next(values))
    for layer in weighted(prepared, nodes):
        assert layer.quantizer is not None
        layer.quantizer.scale.copy_(next(values))
        layer.correction.copy_(next(values))
        layer.rounding = next(values)


@contextmanager
def shared_parameters(prepared: PreparedModel, nodes: Sequence[Node], rate: float) -> Iterator[list[dict[str, object]]]:
    """For Adam: the scales of activations and the corrections of these nodes, at `rate` of what each is worth.

    That of a layer's corrections is the median of its channels' sizes: `equalize` can make dead ones thousands of times larger.
    """
    groups: list[dict[str, object]] = [
        {"params": [quantizer.scale], "lr": rate * quantizer.scale.item()}
        for quantizer in quantizers_of(prepared, nodes)
    ]
    for layer in weighted(prepared, nodes):
        gain = layer.tensors()[layer.gain_and_shift[0]].detach()
        size = gain if gain.dim() == 1 else gain.flatten(1).norm(dim=1)
        groups.append({"params": [layer.correction], "lr": rate * size.abs().median().item()})
    learned: list[Tensor] = [tensor for group in groups for tensor in group["params"]]  # type: ignore[attr-defined]
    least = {quantizer.name: quantizer.scale.item() / 4 for quantizer in quantizers_of(prepared, nodes)}
    for tensor in learned:
        tensor.requires_grad_(True)
    yield groups
    for tensor in learned:
        tensor.requires_grad_(False)
        tensor.grad = None
    for quantizer in quantizers_of(prepared, nodes):
        quantizer.scale.clamp_(min=least[quantizer.name])
