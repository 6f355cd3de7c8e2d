"""`logits_in`: the logits in whatever a module returns, as `capture` takes them."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from bitwright.capture.outputs import Output, choose, named
from bitwright.capture.tail import LOGARITHMS
from bitwright.errors import ModelError
from bitwright.graph import LOGITS


def logits_in(returned: Any, images: int, output: Output = None) -> Tensor:
    """The logits, [N, outputs], in what a module returned for so many images: a tensor, or a structure with one tensor in it,
    or with one that is called "logits", or what `output` calls so.

    One logit an image may come without its axis.
    Raises ModelError where it is anything else, CaptureError where there is no such output.
    """
    leaves = named(returned)
    if output is not None:
        found = list(choose(leaves, output).values())[:1]
    else:
        found = [leaves[LOGITS]] if LOGITS in leaves else list(leaves.values())
    if len(found) != 1 or not isinstance(found[0], Tensor):
        parts = ", ".join(type(leaf).__name__ for leaf in found[:4]) or "nothing"
        raise ModelError(
            f"expected a model that returns logits, one tensor; found {type(returned).__name__} of {len(found)} things "
            f"({parts}); {_advice(leaves)}"
        )
    logits = found[0]
    if logits.dim() < 2 and logits.numel() == images:
        logits = logits.reshape(images, 1)
    if logits.dim() != 2 or len(logits) != images or not logits.shape[1] or not logits.is_floating_point():
        raise ModelError(
            f"expected logits of [{images}, classes] from {images} images; found {str(logits.dtype).removeprefix('torch.')} "
            f"{list(logits.shape)}; wrap the model in a module that returns one logit a class"
        )
    return logits


def _advice(leaves: Mapping[str, Any]) -> str:
    if len(leaves) > 1:
        return f"say by output= (--logits) which of the outputs {', '.join(leaves)} the logits are"
    return "wrap it in a module that takes one image tensor and returns the logits"


def one_logit(returned: Tensor, left_out: Collection[str]) -> Tensor:
    """The logits [N, 1] of what a model of one output returns: a sigmoid that is left out of its graph is undone."""
    if not left_out:
        return returned
    probabilities = returned.exp() if set(left_out) & set(LOGARITHMS) else returned
    return torch.logit(probabilities, torch.finfo(torch.float32).eps)
