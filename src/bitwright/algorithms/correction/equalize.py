"""`equalize`: give small channels more of the codes, by scaling a layer's channels up and the next layer's weights down.

    y_A[c] *= s[c],  W_B[:, c] /= s[c],   s[c] = 2**floor(p * log2(max |y_A| / max |y_A[c]|))
p is 1 where B is depthwise, whose scale per channel takes all of it, and 1/2 where B mixes channels, so that B's small
columns keep half of their precision. Relu and clamps commute with s because a scaled channel stays below the greatest one.
Powers of two leave the float model as it was, to the bit; a second run starts from the first one's scales.
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1, with the ranges
of activations in place of those of weights (Meller et al. 2019, "Same, Same But Different").
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from bitwright.algorithms.correction import data_free
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.channels import LARGEST, commutes, is_depthwise, rescale
from bitwright.algorithms.correction.correction import Correction
from bitwright.graph import Node
from bitwright.ops import float_op, operand, roles_of
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer


class Equalize(Correction):
    name = "equalize"
    before_ranges = True
    quick = True

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        for name, reader in list(_pairs(prepared)):
            _equalize(prepared.layer(name), prepared.layer(reader.name), calibration.largest[name])
        calibration.progress(1.0)

    def watches(self, prepared: PreparedModel) -> list[str]:
        return [name for name, _ in _pairs(prepared)]

    @torch.no_grad()
    def apply_without_images(self, prepared: PreparedModel) -> None:
        for name, reader in list(_pairs(prepared)):
            layer = prepared.layer(name)
            size = data_free.largest(layer)
            if size is not None:
                _equalize(layer, prepared.layer(reader.name), size / layer.equalized)


def _pairs(prepared: PreparedModel) -> Iterator[tuple[str, Node]]:
    """Layers without a residual that one convolution or linear layer reads, and nothing else."""
    consumers = prepared.graph.consumers()
    for node in prepared.graph.nodes:
        readers = consumers[node.name]
        alone = float_op(node).weighted and operand(node, "residual") is None
        if not alone or len(readers) != 1 or not commutes(node):
            continue
        reader = readers[0]
        grouped = reader.attrs.get("groups", 1) not in (1, prepared.graph.values[node.name].channels)
        if float_op(reader).weighted and roles_of(reader, node.name) == {"codes"} and not grouped:
            yield node.name, reader


def _equalize(layer: Layer, reader: Layer, size: Tensor) -> None:
    """Scale `layer`'s channels and undo it in `reader`, given the greatest |y| of each channel in the original model."""
    ratio = (size.max() / size.clamp_min(1e-20)).clamp(1, LARGEST)
    share = 1.0 if is_depthwise(reader) else 0.5
    rescale(layer, [reader], torch.exp2(torch.floor(torch.log2(ratio) * share)))
