"""`expect_faithful`: a captured graph is run beside the model that it was captured from, before anything is built on it."""

import numpy as np
import torch

from bitwright.errors import CaptureError
from bitwright.graph import Graph, Shape
from bitwright.models.float_models import FloatModel
from bitwright.prepared.float_graph import FloatGraph

IMAGES = 2
TOLERANCE, COARSE = 1e-3, 0.05
"""Of the largest logit: what the order of sums in float32 may change, and what a model of 16-bit floats may."""


def expect_faithful(model: FloatModel, graph: Graph, shape: Shape, exact: bool = True) -> None:
    """Raise CaptureError where the graph does not give the model's logits, on a few random images (C, H, W).

    `exact` is False for a model that computes in another type than float32. Where the model ends in a softmax or in its
    logarithm, which no graph has, the graph's are compared.
    """
    images = np.random.default_rng(0).standard_normal((IMAGES, *shape), np.float32)
    theirs = torch.from_numpy(np.asarray(model.predict(images), np.float32))
    ours = FloatGraph(graph)(torch.from_numpy(images)).reshape(theirs.shape)
    if not bool(theirs.isfinite().all()):
        return  # calibration says so, and on real images
    wrong = min(_apart(theirs, end) for end in (ours, ours.softmax(1), ours.log_softmax(1)))
    if not wrong <= (TOLERANCE if exact else COARSE):
        raise CaptureError(
            "the captured graph does not compute what the model does: on random images its logits are off by "
            f"{100 * wrong:.2g} % of the largest one, so something in forward was understood wrongly, such as a change in "
            "place of what is read again. Please report the model; a forward without operations in place may help"
        )


def _apart(theirs: torch.Tensor, ours: torch.Tensor) -> float:
    """The largest difference, as a share of the largest logit."""
    return float((theirs - ours).abs().max() / theirs.abs().max().clamp(min=1e-30))
