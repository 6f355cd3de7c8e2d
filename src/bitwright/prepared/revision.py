"""`Revision`: all that the integers of a prepared model depend on, as it was at one moment.

A counter would have to be told of every change, and whoever forgets to tell it measures numbers that are not shipped. So a
revision keeps what the numbers were. A tensor's place and version tell of most changes at once; of the others (`.data`,
statistics of batches) only the numbers do. Comparing them takes a small part of the time of running the graph.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitwright.prepared.estimator import Estimator
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer


@dataclass(frozen=True, eq=False)
class Revision:
    """Tensors, each with its place, its version and its numbers; and what quantizers are set to."""

    tensors: tuple[tuple[int, int, Tensor], ...]
    settings: tuple[tuple[str, float, Estimator | None], ...]

    @classmethod
    def of(cls, model: nn.Module) -> "Revision":
        """The revision of a model at this moment."""
        tensors = tuple((t.data_ptr(), t._version, t.detach().clone()) for t in _state(model))
        return cls(tensors, _settings(model))

    def holds(self, model: nn.Module) -> bool:
        """Whether the model is unchanged since."""
        state = _state(model)
        if [(t.data_ptr(), t._version) for t in state] != [(place, version) for place, version, _ in self.tensors]:
            return False
        if _settings(model) != self.settings:
            return False
        return all(torch.equal(t.detach(), kept) for t, (_, _, kept) in zip(state, self.tensors, strict=True))


def _state(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _settings(model: nn.Module) -> tuple[tuple[str, float, Estimator | None], ...]:
    quantizers = [module for module in model.modules() if isinstance(module, ActivationQuantizer | WeightQuantizer)]
    return tuple((quantizer.scheme, quantizer.progress, quantizer.estimator) for quantizer in quantizers)
