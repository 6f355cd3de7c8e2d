"""What training minimises: the cross entropy of the labels, and what a teacher adds."""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.errors import TrainingError
from bitwright.prepared import PreparedModel
from bitwright.prepared.class_logits import class_logits
from bitwright.training.augmentation import Mixed
from bitwright.training.distillation import Features, distance, divergence
from bitwright.training.options import Options
from bitwright.training.teacher import Teacher


class Loss:
    """Cross entropy of the labels, plus a teacher's terms."""

    def __init__(
        self, prepared: PreparedModel, float_model: PreparedModel | None, options: Options, teacher: Teacher | None
    ) -> None:
        self.prepared, self.options = prepared, options
        own = teacher is None and (options.distill > 0 or options.features > 0)
        self.own = copy.deepcopy(float_model).eval() if own and float_model is not None else None
        if options.features and teacher is not None:
            raise TrainingError(
                "features are compared with the float model's: leave out the teacher, or set features to 0"
            )
        self.teacher = teacher
        self.watched = [Features(m) for m in (prepared, self.own) if m is not None and options.features]

    def __call__(self, batch: Mixed) -> tuple[Tensor, Tensor]:
        """The student's logits [N, classes] of a batch, and the loss. It reads pixels; only a teacher reads them normalised."""
        logits = class_logits(self.prepared.forward_pixels(batch.images).float())
        smoothing = self.options.label_smoothing
        loss = batch.lam * F.cross_entropy(logits, batch.labels, label_smoothing=smoothing)
        if batch.lam < 1:
            loss = loss + (1 - batch.lam) * F.cross_entropy(logits, batch.others, label_smoothing=smoothing)
        with torch.no_grad():
            target = self._target(batch.images)
        if target is not None and self.options.distill:
            share = self.options.distill
            loss = (1 - share) * loss + share * divergence(logits, target.float(), self.options.temperature)
        if self.watched:
            student, taught = (features.collect() for features in self.watched)
            loss = loss + self.options.features * distance(student, taught)
        return logits, loss

    def _target(self, images: Tensor) -> Tensor | None:
        taught = self.teacher if self.own is None else self.own.float_logits
        if taught is None:
            return None
        return taught(self.prepared.normalised(images).contiguous(memory_format=torch.channels_last))
