"""The scales that `equalize` gave queries, keys and values (`algorithms.correction.heads`), found again in an artifact.

They are in the multipliers of the layers that write these: what a code of a row is worth there, over what it is worth by the
float weights.
"""

import numpy as np
import torch

from bitwright.algorithms.correction.channels import nearest_step
from bitwright.algorithms.correction.heads import heads, scale_heads
from bitwright.artifact import Artifact
from bitwright.audit.weight_steps import Floats, stored_steps, weight_steps
from bitwright.ops import source
from bitwright.prepared import PreparedModel


def scale_heads_alike(prepared: PreparedModel, artifact: Artifact) -> None:
    """Scale the operands of a float model's attentions as those of an artifact made of it are."""
    for of in heads(prepared):
        scales = {}
        for name in of.writers:
            found = _scale(prepared, artifact, name)
            usable = np.isfinite(found) & (found > 0)
            scales[name] = nearest_step(torch.from_numpy(np.where(usable, found, 1.0))).float()
        scale_heads(prepared, of, scales)


def _scale(prepared: PreparedModel, artifact: Artifact, name: str) -> Floats:
    """The scales of a layer's channels; not finite, or 0, where they cannot be told."""
    layer, node = prepared.layer(name), artifact.graph[name]
    x, y = artifact.graph.values[source(node)], artifact.graph.values[name]
    m, weight = node.tensors["m"], layer.tensors()["weight"].detach().double().numpy()
    groups = m.shape[1] if m.ndim == 2 else 1
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(stored_steps(layer, node, x, y)) / weight_steps(node.tensors["weight"], weight, groups)
    return np.asarray(np.median(ratio.reshape(-1, groups), axis=1), np.float64)
