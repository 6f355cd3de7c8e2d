"""`LoadedModel`: a float model, and what is known about it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from bitwright.capture.outputs import Output
from bitwright.capture.stem import Stem
from bitwright.classes import ClassNames
from bitwright.images.preprocess import Preprocess
from bitwright.models.float_models import TorchModel


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A float model in eval mode: float32 [N, C, H, W] -> logits.

    Fields:
        name: the spec that it was loaded by.
        model: as it was loaded.
        preprocess: what its images go through, as far as the place it came from knows; None where that knows nothing.
        classes: what its classes are called, as far as that is known; None where it is not.
        preprocess_from: where the preprocessing is known from, in words; None where nothing is.
        is_settled: whether whoever made the model said so himself, so that nothing else is asked.
        stem: what the model's file says of its images, and does to them before the model; None where there is no such file.
        output: which of several outputs the logits are (`bitwright.capture.outputs`).
    """

    name: str
    model: nn.Module | torch.export.ExportedProgram
    preprocess: Preprocess | None = None
    classes: ClassNames | None = None
    preprocess_from: str | None = None
    is_settled: bool = False
    output: Output = None
    stem: Stem | None = None

    @cached_property
    def float_model(self) -> TorchModel:
        """What everything that quantizes and measures takes: the model, with its logits chosen."""
        return TorchModel(self.model, self.output)

    @property
    def float_bytes(self) -> int:
        """The bytes of its floating-point parameters and buffers."""
        return self.float_model.float_bytes
