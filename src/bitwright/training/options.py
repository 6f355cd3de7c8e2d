"""`Options`: every number of a training run, with values that fine-tune a pretrained network."""

import math
from dataclasses import asdict, dataclass

from bitwright.errors import TrainingError

OPTIMIZERS = ("sgd", "adamw")
AUGMENTATIONS = ("crop", "flip", "randaugment", "mixup", "cutmix")


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        epochs: passes over the images, all stages together; a fraction will do.
        minutes: stop by then; the schedule follows the clock where that is ahead of the epochs. None: no limit.
        batch: images per step.
        optimizer: `sgd` (momentum 0.9, Nesterov) or `adamw`.
        lr: the greatest learning rate; it rises over the share `warmup` of each stage and falls as a cosine to zero.
        weight_decay: of the weights; scales, biases and batch norms are spared.
        augment: any of crop (padded by 4), flip, randaugment, mixup, cutmix; None: crop and flip, but neither where the float
            model no longer knows the images that it makes, such as mirrored digits.
        label_smoothing: 0..1.
        distill: the share of the loss that is the teacher's, KL divergence at `temperature`; 0 needs no teacher.
        features: the weight of the distance between the teacher's and the student's layers; needs the float model as teacher.
        ema: the decay of the average of the weights that is kept in the end; 0: the last weights.
        freeze_bn: batch norms keep their statistics.
        recalibrate_bn: batches on which batch norm statistics are averaged in the end.
        amp: compute in bfloat16 where that is exact enough (autocast).
        seed: of the order of the images and of the augmentation.
    """

    epochs: float = 4.0
    minutes: float | None = None
    batch: int = 128
    optimizer: str = "sgd"
    lr: float = 0.02
    warmup: float = 0.05
    weight_decay: float = 1e-4
    augment: tuple[str, ...] | None = None
    label_smoothing: float = 0.0
    distill: float = 0.0
    temperature: float = 4.0
    features: float = 0.0
    ema: float = 0.0
    freeze_bn: bool = False
    recalibrate_bn: int = 50
    amp: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise TrainingError(f"expected an optimizer among {', '.join(OPTIMIZERS)}; found {self.optimizer!r}")
        unknown = set(self.augment or ()) - set(AUGMENTATIONS)
        if unknown:
            raise TrainingError(f"expected augmentations among {', '.join(AUGMENTATIONS)}; found {sorted(unknown)}")
        for name, value in asdict(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise TrainingError(f"expected {name} to be a finite number, found {value}")
        for name in ("epochs", "batch", "lr", "temperature"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"expected {name} above 0, found {getattr(self, name)}")
        for name in ("label_smoothing", "distill", "ema", "warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"expected {name} in 0..1, found {getattr(self, name)}")
        for name in ("weight_decay", "features", "recalibrate_bn"):
            if getattr(self, name) < 0:
                raise TrainingError(f"expected {name} of 0 or more, found {getattr(self, name)}")
        if self.minutes is not None and not self.minutes > 0:
            raise TrainingError(f"expected minutes above 0, found {self.minutes}")
