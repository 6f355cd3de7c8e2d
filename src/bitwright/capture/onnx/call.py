"""`Call`: one node of an ONNX graph with what it reads: attributes, tensors, and numbers that belong to shapes.

Tensors are PyTorch's. What shapes are computed from, and single numbers, are NumPy arrays: of objects where a size is that of
the batch, a symbol while the network is captured.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import Tensor

Sizes = npt.NDArray[Any]
Operand = Tensor | Sizes | list[Tensor] | None


class Unread(Exception):
    """A node says something that PyTorch, or we, have no word for; the message says what."""


@dataclass(frozen=True)
class Call:
    """A node, its operands, the opset of the model, and the batch that the model was exported for; None where it is free."""

    node: ir.Node
    operands: tuple[Operand, ...]
    opset: int
    batch: int | None = None
    axes: dict[str, list[int]] = field(default_factory=dict)
    """What reshapes with a batch of their own were found to mean, by the name of the node."""

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute as plain Python."""
        found = self.node.attributes.get(name)
        if found is None:
            return default
        value = found.value
        if isinstance(value, float):
            return as_written(value)
        return list(value) if isinstance(value, list | tuple) else value

    def operand(self, index: int) -> Operand:
        """An operand; None where it is left out."""
        return self.operands[index] if index < len(self.operands) else None

    def tensor(self, index: int) -> Tensor:
        """An operand that has to be there, as a tensor."""
        found = self.optional(index)
        if found is None:
            raise Unread(f"expected at least {index + 1} inputs, found {len(self.operands)}")
        return found

    def optional(self, index: int) -> Tensor | None:
        """An operand as a tensor; None where it is left out."""
        found = self.operand(index)
        if isinstance(found, np.ndarray):
            if found.dtype == object:
                raise Unread("it computes with the size of the batch")
            return torch.from_numpy(np.array(found))
        if isinstance(found, list):
            raise Unread("a sequence, where a tensor is expected")
        return found

    def number(self, index: int) -> Any:
        """An operand as a tensor, or as a plain number where it is one."""
        found = self.operand(index)
        if isinstance(found, np.ndarray) and found.size == 1 and found.dtype != object:
            number = found.reshape(-1)[0].item()
            return as_written(number) if found.dtype == np.float32 else number
        return self.tensor(index)

    def scalar(self, index: int, default: float | None) -> float | None:
        """An operand that has to be one known number, or left out."""
        if self.operand(index) is None:
            return default
        found = self.number(index)
        if isinstance(found, Tensor):
            raise Unread(f"its input {index} is computed; only a constant is known")
        return float(found)

    def sizes(self, index: int, attribute: str = "", default: Any = None) -> Any:
        """A list of whole numbers: an operand, or in older opsets an attribute."""
        found = self.operand(index)
        if found is None:
            given = self.attr(attribute, default) if attribute else default
            return [given] if isinstance(given, int) else given
        if not isinstance(found, np.ndarray):
            raise Unread(f"its {attribute or 'shape'} is computed from the image")
        return [size if isinstance(size, torch.SymInt) else int(size) for size in found.reshape(-1)]


LARGEST = float(np.finfo(np.float32).max)
"""Its shortest decimal is beyond it."""


def as_written(number: float) -> float:
    """A float32 as the exporter was given it: the shortest decimal that rounds to it, 1e-05 and not 9.99999974e-06."""
    written = float(str(np.float32(number)))
    return written if abs(written) <= LARGEST else float(number)


Function = Callable[[Call], Any]
"""What a node computes: an operand, or a tuple of them where it has several outputs."""


def rank_of(x: Tensor, axes: Any) -> list[int]:
    """Axes counted from the front."""
    found = [axis % x.dim() if -x.dim() <= axis < x.dim() else -1 for axis in axes]
    if -1 in found:
        raise Unread(f"expected axes of {x.dim()}, found {list(axes)}")
    return found
