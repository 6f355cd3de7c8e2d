"""`Teacher`: a float model to distil from, whatever it returns, as logits for the classes of its student."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitwright.errors import ModelError
from bitwright.evaluation import outputs_of
from bitwright.images.preprocess import Preprocess
from bitwright.models.float_models import TorchModel, float_model
from bitwright.prediction import are_probabilities, class_count

_PROBES = 8


class Teacher:
    """A model that is called on the student's images, normalised.

    A softmax at its end would make its probabilities count as logits, which are then nearly the same for all classes: they are
    recognised, on noise, and their logarithms taken, which are logits of the same probabilities.
    """

    def __init__(self, model: Any, outputs: int, preprocess: Preprocess, device: torch.device) -> None:
        """`outputs` are the student's. ModelError where it is no model, cannot run, or has other classes."""
        self.model = float_model(model)
        found = outputs_of(self.model, preprocess)
        if class_count(found) != class_count(outputs):
            raise ModelError(
                f"the teacher has {class_count(found):,} classes and the model {class_count(outputs):,}; expected a teacher "
                "for the same classes, in the same order"
            )
        noise = np.random.RandomState(0).randint(0, 256, (_PROBES, *preprocess.shape), np.uint8)
        if isinstance(self.model, TorchModel):
            self.model.module.to(device).eval()
        with torch.no_grad():
            returned = self._returned(torch.from_numpy(preprocess.normalise(noise)).to(device))
            self.gives_probabilities = are_probabilities(returned.float().cpu().numpy())

    def __call__(self, x: Tensor) -> Tensor:
        """The logits of normalised images."""
        logits = self._returned(x)
        return logits.clamp_min(torch.finfo(torch.float32).tiny).log() if self.gives_probabilities else logits

    def _returned(self, x: Tensor) -> Tensor:
        if isinstance(self.model, TorchModel):
            return self.model.logits(x)
        return torch.from_numpy(self.model.predict(x.cpu().numpy())).to(x.device)
