"""`train`: a float model and labelled images in, an artifact out, by quantization-aware training in one or more stages."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.artifact import Artifact
from bitwright.classes import ClassNames
from bitwright.errors import TrainingError
from bitwright.evaluation import known_classes
from bitwright.files import expect_writable
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource, as_source
from bitwright.labels import By, fit_labels, names_for
from bitwright.models.float_models import FloatModelLike, TorchModel, float_model
from bitwright.prepared import PreparedModel
from bitwright.prepared.class_logits import class_logits
from bitwright.prepared.layer import Layer
from bitwright.quantization import calibrate, convert
from bitwright.recipe import Recipe
from bitwright.training import checkpoint
from bitwright.training.augmentation import augment
from bitwright.training.distillation import Features, distance, divergence
from bitwright.training.options import Options
from bitwright.training.pixels import Pixels
from bitwright.training.qat import prepare_qat
from bitwright.training.teacher import Teacher

CALIBRATION = 512
SAVE_EVERY_S = 120.0
Spec = str | PathLike[str] | Recipe


@dataclass(frozen=True)
class Progress:
    """Where a run is: `share` of all stages together (0..1), images seen, the mean loss and accuracy since the last one."""

    stage: str
    share: float
    images: int
    loss: float
    accuracy: float
    lr: float
    minutes: float


def train(
    model: FloatModelLike,
    source: ImageSource | str | PathLike[str],
    *,
    preprocess: Preprocess,
    recipe: Spec | Sequence[Spec] = "w4a4",
    training: str | None = None,
    options: Options | None = None,
    teacher: FloatModelLike | None = None,
    start: str | PathLike[str] | None = None,
    resume: str | PathLike[str] | None = None,
    device: str | torch.device | None = None,
    classes: ClassNames | str | PathLike[str] | Iterable[str] | None = None,
    labels: By = "name",
    progress: Callable[[Progress], None] | None = None,
) -> Artifact:
    """Train a float model quantized, and convert it.

    Several recipes are stages, one after the other, each from the weights of the one before: fewer and fewer bits, or, for
    1-bit networks, activations first (`["w8a1", "w1a1"]`). `training` overrides the recipes' algorithm. `teacher` takes the
    same images and has the same classes; without one, the float model is its own teacher where the options ask for one.
    `start` is the checkpoint of an earlier run of this model: the first stage begins with what that learned (its scales only
    where the recipe is the same). `resume` is a file that the run is saved to as it goes, and goes on from, to the bit, where
    it exists. `classes` are the names of the model's classes, or a file of them; `labels` says how the source's are matched
    with them (`bitwright.labels`): a model without names is taught the source's classes in the source's order.

    Raises LabelError or ModelError, before the first step, where labels or the teacher do not fit the model;
    TrainingError where labels are missing, the loss is not finite, or the checkpoint is of another run; else what
    `prepare_qat` raises, and ImageError for an image that cannot be read.
    """
    source, run = as_source(source), options or Options()
    recipes = [recipe] if isinstance(recipe, str | PathLike | Recipe) else list(recipe)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = float_model(model)
    if isinstance(model, TorchModel) and isinstance(model.model, nn.Module):
        model.model.cpu()
    first = prepare_qat(model, preprocess=preprocess, recipe=recipes[0], training=training)
    outputs = first.graph.values[first.graph.output].shape[0]
    known = known_classes(None, classes, outputs)
    taught_by = None if teacher is None else Teacher(teacher, outputs, replace(preprocess, encoder=None), where)
    pixels = Pixels(fit_labels(source, known, outputs, labels).source, preprocess)
    saved = None if resume is None else Path(resume)
    if saved is not None:
        expect_writable(saved, TrainingError)
    names = tuple(Recipe.parse(spec).name for spec in recipes)
    trainer = _Trainer(run, pixels, where, taught_by, saved, progress, names)
    prepared: PreparedModel | None = None
    learned: dict[str, Tensor] = {}
    for stage, spec in enumerate(recipes):
        following = prepare_qat(model, preprocess=preprocess, recipe=spec, training=training) if stage else first
        if prepared is None:
            pixels_only = replace(preprocess, encoder=None)
            same = preprocess == pixels_only  # a teacher sees the pixels, whatever its student sees
            own = following if same else prepare_qat(model, preprocess=pixels_only, recipe=spec, training=training)
            trainer.float_model = copy.deepcopy(own).to(where)
            learned = {} if start is None else _learned(Path(start), following)
        else:
            learned = prepared.cpu().state_dict()
        _carry(learned, following)
        calibrate(following, pixels.take(_sample(len(pixels), run.seed))[0].numpy())
        if start is not None and not stage and checkpoint.recipe(Path(start)) == names[0]:
            _carry(learned, following, scales=True)
        prepared = trainer.run(following.to(where), stage)
    assert prepared is not None
    if source.opened_by is not None:
        prepared.foreign.add(source.opened_by)
    record = {
        "options": asdict(run),
        "algorithm": prepared.recipe.training,
        "stages": list(names),
        "images_seen": trainer.seen,
        "minutes": round(trainer.elapsed_s / 60, 1),
    }
    named = names_for(source, outputs) if known is None else known.names
    return convert(prepared.cpu().eval(), classes=named, provenance={"seed": run.seed, "training": record})


def _sample(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:CALIBRATION]


def _carry(learned: dict[str, Tensor], new: PreparedModel, scales: bool = False) -> None:
    """What was learned, but the scales unless asked for, from one run's model to the next."""
    kept = {name: learned[name] for name, value in new.state_dict().items() if _fits(learned, name, value)}
    if not scales:
        kept = {name: value for name, value in kept.items() if not name.endswith((".scale", ".zero_point"))}
    new.load_state_dict({**new.state_dict(), **kept})


def _fits(learned: dict[str, Tensor], name: str, value: Tensor) -> bool:
    return name in learned and learned[name].shape == value.shape


def _learned(path: Path, prepared: PreparedModel) -> dict[str, Tensor]:
    """What an earlier run of this model learned."""
    learned = checkpoint.learned(path)
    for name, value in prepared.state_dict().items():
        if name.endswith("weight") and not _fits(learned, name, value):
            found = f"of shape {list(learned[name].shape)}" if name in learned else "not there"
            raise TrainingError(
                f"cannot start from {path}: it is of another model; "
                f"expected {name} of shape {list(value.shape)}, found it {found}"
            )
    return learned


class _Trainer:
    """The loop, over the stages."""

    def __init__(
        self,
        options: Options,
        pixels: Pixels,
        device: torch.device,
        teacher: Teacher | None,
        saved: Path | None,
        progress: Callable[[Progress], None] | None,
        names: tuple[str, ...],
    ) -> None:
        self.options, self.pixels, self.device, self.saved, self.progress = options, pixels, device, saved, progress
        self.teacher = teacher
        self.float_model: PreparedModel | None = None
        self.names, self.stages = names, len(names)
        self.steps = max(1, round(options.epochs * len(pixels) / options.batch / len(names)))
        self.elapsed_s, self.seen = 0.0, 0
        self.record = None if saved is None or not saved.exists() else checkpoint.read_record(saved)
        if self.record is not None and self.record["options"] != self._settings():
            raise TrainingError(
                f"cannot resume from {saved}: it was saved by a run with other options; remove it, or use those"
            )

    def run(self, prepared: PreparedModel, stage: int) -> PreparedModel:
        """Train one stage to its end, from the checkpoint where that is in it or behind it."""
        record = self.record
        if record is not None and record["stage"] > stage:
            return prepared
        optimizer = _optimizer(prepared, self.options)
        average: dict[str, Tensor] = {}
        step, share = 0, 0.0
        if record is not None and record["stage"] == stage:
            assert self.saved is not None
            checkpoint.load(self.saved, prepared, optimizer, average)
            for group, share in zip(optimizer.param_groups, record.get("shares", ()), strict=False):
                group["share"] = share
            step, share, self.elapsed_s, self.seen = (
                record["step"],
                record["share"],
                record["elapsed_s"],
                record["seen"],
            )
            self.record = None
        self._freeze(prepared.train())
        loss_of = _Loss(prepared, self.float_model, self.options, self.teacher)
        window, saved_at, last = [0.0, 0.0, 0.0], self.elapsed_s, time.monotonic()
        while share < 1.0:
            lr = self._set_lr(optimizer, share)
            prepared.set_progress(share)
            loss, correct, count = self._step(prepared, optimizer, loss_of, stage, step)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} in step {step} of stage {stage + 1}; try a smaller lr than {lr:.4g}"
                )
            step, self.seen = step + 1, self.seen + count
            window = [window[0] + loss * count, window[1] + correct, window[2] + count]
            if self.options.ema:
                _update(average, prepared, self.options.ema)
            now = time.monotonic()
            self.elapsed_s, last = self.elapsed_s + now - last, now
            share = self._share(step, stage)
            if self.saved is not None and (self.elapsed_s - saved_at > SAVE_EVERY_S or share >= 1.0):
                saved_at = self.elapsed_s
                self._save(prepared, optimizer, average, stage, step, share)
            if self.progress is not None and (step % 50 == 0 or share >= 1.0):
                whole, minutes = (stage + share) / self.stages, self.elapsed_s / 60
                name = prepared.recipe.name
                self.progress(
                    Progress(name, whole, self.seen, window[0] / window[2], 100 * window[1] / window[2], lr, minutes)
                )
                window = [0.0, 0.0, 0.0]
        if average:
            prepared.load_state_dict({**prepared.state_dict(), **average})
        self._recalibrate(prepared)
        return prepared

    def _step(
        self, prepared: PreparedModel, optimizer: torch.optim.Optimizer, loss_of: "_Loss", stage: int, step: int
    ) -> tuple[float, int, int]:
        images, labels = self._batch(stage, step)
        generator = torch.Generator().manual_seed(self._seed(stage, step))
        mixed = augment(images, labels, self.options.augment, generator)
        x = _channels_last(prepared.normalised(mixed.images))
        with self._autocast():
            logits, loss = loss_of(x, mixed.labels, mixed.others, mixed.lam)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach()), int((logits.detach().argmax(1) == mixed.labels).sum()), len(x)

    def _batch(self, stage: int, step: int) -> tuple[Tensor, Tensor]:
        """The images of a step: those at its place in the orders of all epochs, one behind the other."""
        batch, count = min(self.options.batch, len(self.pixels)), len(self.pixels)
        start, parts = step * batch, []
        while batch:
            epoch, offset = divmod(start, count)
            order = torch.randperm(count, generator=torch.Generator().manual_seed(self._seed(stage, -1 - epoch)))
            parts.append(order[offset : offset + batch])
            start, batch = start + len(parts[-1]), batch - len(parts[-1])
        images, labels = self.pixels.take(torch.cat(parts))
        return images.to(self.device), labels.to(self.device)

    def _seed(self, stage: int, step: int) -> int:
        return ((self.options.seed * 64 + stage) << 33) + step + 2**32

    def _share(self, step: int, stage: int) -> float:
        """How much of the stage is done, by steps or by the clock, whichever is ahead."""
        share = step / self.steps
        if self.options.minutes is not None:
            share = max(share, self.elapsed_s / 60 / self.options.minutes * self.stages - stage)
        return min(1.0, max(share, 0.0))

    def _set_lr(self, optimizer: torch.optim.Optimizer, share: float) -> float:
        """Linear warm-up, then a cosine to zero."""
        warmup = self.options.warmup
        if share < warmup:
            factor = (share + 1 / self.steps) / (warmup + 1 / self.steps)
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (share - warmup) / max(1 - warmup, 1e-9)))
        for group in optimizer.param_groups:
            group["lr"] = self.options.lr * factor * group["share"]
        return self.options.lr * factor

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.amp)

    def _freeze(self, prepared: PreparedModel) -> None:
        for layer in _layers(prepared):
            layer.momentum = None if self.options.freeze_bn else 0.1

    @torch.no_grad()
    def _recalibrate(self, prepared: PreparedModel) -> None:
        """Average the batch norms' statistics over some batches, with the weights as they are now."""
        if self.options.freeze_bn:
            return
        for i in range(self.options.recalibrate_bn):
            for layer in _layers(prepared):
                layer.momentum = 1 / (i + 1)
            images, labels = self._batch(self.stages, i)
            names = tuple(name for name in self.options.augment if name in ("crop", "flip"))
            mixed = augment(images, labels, names, torch.Generator().manual_seed(self._seed(self.stages, i)))
            with self._autocast():
                prepared(_channels_last(prepared.normalised(mixed.images)))

    def _settings(self) -> dict[str, Any]:
        settings = {**asdict(self.options), "images": len(self.pixels), "stages": self.names}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}

    def _save(
        self,
        prepared: PreparedModel,
        optimizer: torch.optim.Optimizer,
        average: dict[str, Tensor],
        stage: int,
        step: int,
        share: float,
    ) -> None:
        assert self.saved is not None
        record = {"options": self._settings(), "stage": stage, "step": step, "share": share}
        record |= {"shares": [group["share"] for group in optimizer.param_groups]}
        record |= {"elapsed_s": self.elapsed_s, "seen": self.seen}
        checkpoint.save(self.saved, prepared, optimizer, average, record)


class _Loss:
    """Cross entropy of the labels, and what a teacher adds."""

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

    def __call__(self, x: Tensor, labels: Tensor, others: Tensor, lam: float) -> tuple[Tensor, Tensor]:
        logits = class_logits(self.prepared(x).float())
        smoothing = self.options.label_smoothing
        loss = lam * F.cross_entropy(logits, labels, label_smoothing=smoothing)
        if lam < 1:
            loss = loss + (1 - lam) * F.cross_entropy(logits, others, label_smoothing=smoothing)
        with torch.no_grad():
            target = self._target(x)
        if target is not None and self.options.distill:
            share = self.options.distill
            loss = (1 - share) * loss + share * divergence(logits, target.float(), self.options.temperature)
        if self.watched:
            student, taught = (features.take() for features in self.watched)
            loss = loss + self.options.features * distance(student, taught)
        return logits, loss

    def _target(self, x: Tensor) -> Tensor | None:
        if self.teacher is not None:
            return self.teacher(x)
        return None if self.own is None else self.own.float_logits(x)


def _layers(prepared: PreparedModel) -> list[Layer]:
    return [layer for layer in prepared.layers.values() if isinstance(layer, Layer)]


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _optimizer(prepared: PreparedModel, options: Options) -> torch.optim.Optimizer:
    """Weight decay for weights alone: tensors of two axes or more that are not scales.

    AdamW's steps are of the size of the learning rate, whatever the gradient's, and a scale is far smaller than a weight's
    spread: so each scale's own size (a group's `share`) multiplies its learning rate, which makes the steps relative.
    """
    named = [(name, p) for name, p in prepared.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if name.endswith(".weight") and p.dim() > 1]
    relative = [p for name, p in named if name.endswith(".scale") and options.optimizer == "adamw"]
    chosen = {id(p) for p in (*decayed, *relative)}
    spared = [p for _, p in named if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": options.weight_decay, "share": 1.0}]
    groups += [{"params": spared, "weight_decay": 0.0, "share": 1.0}]
    groups += [
        {"params": [p], "weight_decay": 0.0, "share": min(1.0, float(p.detach().abs().mean()))} for p in relative
    ]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.lr)
    return torch.optim.SGD(groups, lr=options.lr, momentum=0.9, nesterov=True)


@torch.no_grad()
def _update(average: dict[str, Tensor], prepared: PreparedModel, decay: float) -> None:
    for name, parameter in prepared.named_parameters():
        if name in average:
            average[name].lerp_(parameter.detach(), 1 - decay)
        else:
            average[name] = parameter.detach().clone()
