"""Constant folding: what is computed from parameters, buffers and numbers alone is computed at capture.

Weight norm, spectral norm, weight standardization, parametrizations and sums of branches come out as plain weights.
"""

from typing import Any

import torch

from bitwright.capture.draft import Constant, Unmapped
from bitwright.capture.program import Fx, Program


def is_foldable(p: Program, fx: Fx) -> bool:
    """True where every operand of an fx node is a constant."""
    return all(isinstance(p.env.get(node), Constant) for node in fx.all_input_nodes)


def fold(p: Program, fx: Fx) -> Any:
    """The constant that an fx node computes, or the tuple of constants. Unmapped where torch can't compute it."""
    args, kwargs = torch.fx.node.map_arg((fx.args, dict(fx.kwargs)), lambda node: _tensor(p, node))
    if "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    try:
        with torch.no_grad():
            found = fx.target(*args, **kwargs)  # type: ignore[operator]
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        raise Unmapped(f"of constants alone, it fails: {str(error).splitlines()[0]}") from error
    return tuple(map(constant_of, found)) if isinstance(found, tuple | list) else constant_of(found)


def _tensor(p: Program, node: Fx) -> torch.Tensor:
    """A constant in full size: `expand` leaves repeating to the readers."""
    tensor = torch.from_numpy(p.env[node].array)
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or tensor.shape == value.shape:
        return tensor
    tensor = tensor.reshape((1,) * (value.dim() - tensor.dim()) + tensor.shape)
    return tensor.expand(
        [size if isinstance(size, int) else -1 for size in value.shape]
    )  # as often as there are images: once


def constant_of(found: Any) -> Any:
    """A tensor as a constant, in float32 where it is any other floating-point type; anything else as it is."""
    if not isinstance(found, torch.Tensor):
        return found
    return Constant((found.float() if found.is_floating_point() else found).detach().cpu().numpy())
