"""`LoadedModel`: a float model, and what is known about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from bitwright.classes import ClassNames
from bitwright.images.preprocess import Preprocess


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A float model in eval mode: float32 [N, C, H, W] -> logits.

    Fields:
        name: the spec that it was loaded by.
        model: what `bitwright.quantize` takes.
        preprocess: what its images go through, as far as the place it came from knows; None where that knows nothing.
        classes: what its classes are called, as far as that is known; None where it is not.
        preprocess_from: where the preprocessing is known from, in words; None where nothing is.
        is_settled: whether whoever made the model said so himself, so that nothing else is asked.
    """

    name: str
    model: nn.Module | torch.export.ExportedProgram
    preprocess: Preprocess | None = None
    classes: ClassNames | None = None
    preprocess_from: str | None = None
    is_settled: bool = False

    @property
    def module(self) -> nn.Module:
        """The model as a module, which can be called: what `bitwright.evaluate` takes."""
        return self.model if isinstance(self.model, nn.Module) else ExportedModule(self.model)

    @property
    def float_bytes(self) -> int:
        """The bytes of its floating-point parameters and buffers."""
        return sum(t.numel() * t.element_size() for t in self._tensors() if t.is_floating_point())

    def _tensors(self) -> Iterator[Tensor]:
        return chain(self.model.parameters(), self.model.buffers())


class ExportedModule(nn.Module):
    """An exported program as a module. What mode it is in was settled when it was exported."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)

    def train(self, mode: bool = True) -> "ExportedModule":
        """Do nothing: torch refuses to change the mode of an exported program."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.program(x)
        return logits
