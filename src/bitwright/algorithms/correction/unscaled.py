"""What `equalize` and `smooth` did to channels, undone: a second calibration starts from the original model."""

import torch

from bitwright.algorithms.correction import heads
from bitwright.algorithms.correction.channels import rescale, scaled_with
from bitwright.prepared import PreparedModel

NEAR = 2.0**-18
"""How far, as a share, scaling and back may move a weight that nothing else has changed."""


@torch.no_grad()
def undo(prepared: PreparedModel) -> None:
    """Give every channel the size that it had in the original model; weights that were only scaled become what they were."""
    scaled = heads.undo(prepared)
    for node in prepared.graph.nodes:
        layer = prepared.layer(node.name)
        equalized = getattr(layer, "equalized", None)
        if equalized is not None and bool((equalized != 1).any()):
            rescale(layer, scaled_with(prepared, node.name), torch.ones_like(equalized))
            scaled = True
    for node in prepared.graph.nodes if scaled else ():
        for name, tensor in prepared.layer(node.name).tensors().items():
            if name not in node.tensors:
                tensor.sign_()  # factors, all of them 1 in the original model
                continue
            captured = torch.from_numpy(node.tensors[name].copy()).to(tensor)
            tensor.copy_(torch.where((tensor - captured).abs() <= NEAR * captured.abs(), captured, tensor))
