"""`expect_faithful`: a captured graph is run beside the model that it was captured from, before anything is built on it."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitwright.errors import BitwrightError, CaptureError
from bitwright.graph import Graph, Shape
from bitwright.models.float_models import FloatModel, GraphModel, TorchModel
from bitwright.prepared.float_graph import FloatGraph

Floats = npt.NDArray[np.float32]
IMAGES = 2
TOLERANCE, COARSE = 1e-3, 0.05
"""Of the largest logit: what the order of sums in float32 may change, and what a model of 16-bit floats may."""
DIGITS_LOST = 8
"""A single logit that large may have been a probability in float32, which is so near 1 that few digits of it are left."""
FLAT = 0.01
"""Probabilities that differ by less, as a share of the largest one, are told apart no further: float32 has no more digits."""
USUAL = 30
"""Times the size of a small logit, which one in ten is below: most are below that."""
NOTHING = 1e-14
"""A change of an image that no answer should depend on: of its last digits in float64."""
ALIKE = 0.1
"""The share of the graph's difference that the model's own change has to have, for the difference to say nothing."""
UNFIT = (RuntimeError, TypeError, ValueError, AssertionError, AttributeError, LookupError, BitwrightError)
"""What a copy of a module may raise that computes in another type than it was written for."""


def expect_faithful(
    model: FloatModel, graph: Graph, shape: Shape, exact: bool = True, pictures: Floats | None = None
) -> None:
    """Raise CaptureError where the graph does not give the model's logits, on a few random images (C, H, W).

    `pictures`, float32 [N, C, H, W], are looked at as well: images as the model's preprocessing makes them, since a model that
    takes a root or a logarithm of its input may have no answer for others. An image without one is passed over.

    `exact` is False for a model that computes in another type than float32, and may be coarser. What is further off is asked
    again in float64: a deep model of 16-bit floats is, and so is one whose norms take away nearly all of what they are given,
    as those of random weights that saw other images do; fusing rounds elsewhere. Where the model ends in a softmax, in its
    logarithm or in a sigmoid, which no graph has, the graph's are compared.
    """
    images = np.random.default_rng(0).standard_normal((IMAGES, *shape), np.float32)
    if pictures is not None:
        images = np.concatenate([images, pictures])
    wrong, allowed = _compared(model.predict(images), FloatGraph(graph), images, exact)
    exactly = None if wrong <= allowed else _in_float64(model, images)
    if exactly is not None:
        wrong, allowed = _compared(exactly, FloatGraph(graph, torch.float64), images, exact=True)
    if wrong <= allowed:
        return
    if exactly is not None and _is_chaotic(model, images, exactly, wrong):
        raise CaptureError(
            f"no capture of the model can be confirmed: in float64 its logits are off by {100 * wrong:.3g} % of the largest "
            f"one, but the model's own change as much where its images change by one part in 10^{-np.log10(NOTHING):.0f}. "
            "Random weights, or batch norms whose variances are nearly 0? Give it the weights that it was trained to"
        )
    raise CaptureError(
        "the captured graph does not compute what the model does: on random images its logits are off by "
        f"{100 * wrong:.3g} % of the largest one, so something in forward was understood wrongly, such as a change in "
        "place of what is read again. Please report the model; a forward without operations in place may help"
    )


def _compared(logits: Floats, graph: FloatGraph, images: Floats, exact: bool) -> tuple[float, float]:
    """How far the graph is from the model's logits, and how far it may be."""
    theirs = torch.from_numpy(np.asarray(logits, np.float32))
    ours = graph(torch.from_numpy(images)).float().reshape(theirs.shape)
    answered = theirs.isfinite().all(1)
    if not bool(answered.any()):
        return 0.0, TOLERANCE  # calibration says so, and on real images
    theirs, ours = theirs[answered], ours[answered]
    few_digits = theirs.shape[1] == 1 and float(theirs.abs().max()) > DIGITS_LOST
    return min(_distances(theirs, ours)), TOLERANCE if exact and not few_digits else COARSE


def _distances(theirs: Tensor, ours: Tensor) -> Iterator[float]:
    """From the graph's logits, and from what the ends that are left out make of them, as a share of the largest value.

    All probabilities of a softmax may be nearly alike: what counts is how far from each other they are. A logit that is far
    larger than most, such as that of a class that is masked, is measured by itself.
    """
    largest = theirs.abs().max().clamp(min=1e-30)
    yield _share(theirs - ours, theirs)
    if theirs.shape[1] == 1:
        undone = torch.logit(ours.sigmoid(), torch.finfo(torch.float32).eps)  # as `one_logit` does
        yield float((theirs - undone).abs().max() / largest)
        return
    spread = (theirs - theirs.mean(1, keepdim=True)).abs().max().clamp(min=FLAT * float(largest))
    yield float((theirs - ours.softmax(1)).abs().max() / spread)
    yield _share(theirs - ours.log_softmax(1), theirs - theirs.median(1, keepdim=True).values, FLAT * _usual(theirs))


def _share(difference: Tensor, of: Tensor, least: float = 0.0) -> float:
    """The largest difference as a share of the usual size of `of`, or of its own size where that is larger."""
    return float((difference.abs() / of.abs().clamp(min=max(_usual(of), least))).max())


def _usual(values: Tensor) -> float:
    """The size that most values do not exceed, whatever a few of them are."""
    sizes = values.abs()[values != 0]
    return float(min(sizes.max(), USUAL * sizes.quantile(0.1))) if sizes.numel() else 1e-30


def _is_chaotic(model: FloatModel, images: Floats, exactly: Floats, wrong: float) -> bool:
    """Whether the model's own logits, in float64, change like those of the graph where its images change by nothing."""
    nearly = _in_float64(model, images.astype(np.float64) * (1 + NOTHING))
    if nearly is None:
        return False
    theirs, ours = (torch.from_numpy(np.asarray(logits, np.float32)) for logits in (exactly, nearly))
    return min(_distances(theirs, ours)) > ALIKE * wrong


def _in_float64(model: FloatModel, images: npt.NDArray[np.floating[Any]]) -> Floats | None:
    """The model's logits, computed in float64; None where it cannot be had in float64."""
    try:
        if isinstance(model, GraphModel):
            exactly: Floats = FloatGraph(model.graph, torch.float64)(torch.from_numpy(images)).float().numpy()
            return exactly
        if isinstance(model, TorchModel) and isinstance(model.model, nn.Module):
            return TorchModel(copy.deepcopy(model.model).double(), model.output).predict(images)
    except UNFIT:
        pass  # it casts by itself, or cannot be copied
    return None
