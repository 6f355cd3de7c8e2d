"""The loop of training: step after step through a stage, saved as it goes, to go on from to the bit."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.calibration import agree
from bitwright.errors import TrainingError
from bitwright.prepared import PreparedModel
from bitwright.prepared.foreign import foreign_schemes
from bitwright.prepared.layer import Layer
from bitwright.progress import Progress
from bitwright.ranks import ALONE, Ranks, first_json, gather_arrays, gather_json
from bitwright.registry import Foreign
from bitwright.training import checkpoint
from bitwright.training.augmentation import Mixed, augment
from bitwright.training.interrupts import Interrupts, held_back
from bitwright.training.loss import Loss
from bitwright.training.optimizer import optimizer_of, update_average
from bitwright.training.options import Options
from bitwright.training.pixels import Pixels
from bitwright.training.teacher import Teacher

SAVE_EVERY_S = 120.0
GOLDEN = 0x9E3779B1
"""2**32 by the golden ratio: multiples of it are far from each other, modulo 2**32."""


@dataclass(frozen=True)
class Passed:
    """Where a run is: `share` of all stages together (0..1), images seen, the mean loss and accuracy since the last one."""

    stage: str
    share: float
    images: int
    loss: float
    accuracy: float
    lr: float
    minutes: float

    def __str__(self) -> str:
        figures = f"loss {self.loss:.4f}, accuracy {self.accuracy:.2f} %, lr {self.lr:.2g}, {self.minutes:.1f} min"
        return f"{self.stage}, {self.images:,} images, {figures}"


class Loop:
    """The steps of all stages, and what they need: batches in order, the learning rate, the clock, the checkpoint."""

    def __init__(
        self,
        options: Options,
        pixels: Pixels,
        device: torch.device,
        teacher: Teacher | None,
        saved: Path | None,
        progress: Progress,
        names: tuple[str, ...],
        ranks: Ranks = ALONE,
    ) -> None:
        self.options, self.pixels, self.device, self.saved, self.progress = options, pixels, device, saved, progress
        self.teacher, self.ranks = teacher, ranks
        if min(options.batch, len(pixels)) < ranks.size:
            found = min(options.batch, len(pixels))
            raise TrainingError(f"expected a batch of at least one image for each of {ranks.size} ranks, found {found}")
        self.float_model: PreparedModel | None = None
        self.foreign: set[Foreign] = set()
        """What of other distributions had a part in what the next stage begins with."""
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
        optimizer = optimizer_of(prepared, self.options)
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
        loss_of = self.ranks.parallel(_Forward(Loss(prepared, self.float_model, self.options, self.teacher)))
        window, saved_at, last = [0.0, 0.0, 0.0], self.elapsed_s, time.monotonic()
        with held_back() if self.saved is not None else nullcontext(Interrupts()) as interrupts:
            while share < 1.0:
                lr = self._set_lr(optimizer, share)
                prepared.set_progress(share)
                loss, correct, count = self._step(optimizer, loss_of, stage, step)
                if not math.isfinite(loss):
                    raise TrainingError(
                        f"the loss is {loss} in step {step} of stage {stage + 1}; try a smaller lr than {lr:.4g}"
                    )
                step, self.seen = step + 1, self.seen + min(self.options.batch, len(self.pixels))
                window = [window[0] + loss * count, window[1] + correct, window[2] + count]
                if self.options.ema:
                    update_average(average, prepared, self.options.ema)
                now = time.monotonic()
                self.elapsed_s, last = self.elapsed_s + now - last, now
                share = self._share(step, stage)
                if self.options.minutes is not None:
                    share = first_json(self.ranks, share)  # rank 0's clock counts
                due = self.elapsed_s - saved_at > SAVE_EVERY_S or share >= 1.0 or interrupts.asked
                if self.saved is not None and self.ranks.rank == 0 and due:
                    saved_at = self.elapsed_s
                    self._save(prepared, optimizer, average, stage, step, share)
                if interrupts.asked:
                    raise KeyboardInterrupt
                if step % 50 == 0 or share >= 1.0:
                    whole, minutes = (stage + share) / self.stages, self.elapsed_s / 60
                    name = prepared.recipe.name
                    window = np.sum(gather_json(self.ranks, window), axis=0).tolist()
                    means = window[0] / window[2], 100 * window[1] / window[2]
                    self.progress.at("training", whole, 1.0, Passed(name, whole, self.seen, *means, lr, minutes))
                    window = [0.0, 0.0, 0.0]
        if average:
            prepared.load_state_dict({**prepared.state_dict(), **average})
        self._recalibrate(prepared)
        agree(prepared, self.ranks)
        return prepared

    def _step(
        self, optimizer: torch.optim.Optimizer, loss_of: Callable[[Mixed], tuple[Tensor, Tensor]], stage: int, step: int
    ) -> tuple[float, int, int]:
        """One step with this rank's part of the batch; its mean loss, how many of its images were right, how many they were."""
        images, labels = self._batch(stage, step)
        generator = torch.Generator().manual_seed(self._seed(stage, step, self.ranks.rank))
        mixed = augment(images, labels, self.options.augment or (), generator)
        with self._autocast():
            logits, loss = loss_of(mixed)
        optimizer.zero_grad()
        if self.ranks.size > 1:  # the ranks' gradients count alike, and their parts need not be of one size
            weight = len(labels) * self.ranks.size / min(self.options.batch, len(self.pixels))
            (loss * weight).backward()
        else:
            loss.backward()
        optimizer.step()
        return float(loss.detach()), int((logits.detach().argmax(1) == mixed.labels).sum()), len(labels)

    def _batch(self, stage: int, step: int) -> tuple[Tensor, Tensor]:
        """This rank's images of a step: of those at its place in the orders of all epochs, one behind the other, every
        `size`-th one."""
        batch, count = min(self.options.batch, len(self.pixels)), len(self.pixels)
        start, parts = step * batch, []
        while batch:
            epoch, offset = divmod(start, count)
            order = torch.randperm(count, generator=torch.Generator().manual_seed(self._seed(stage, -1 - epoch)))
            parts.append(order[offset : offset + batch])
            start, batch = start + len(parts[-1]), batch - len(parts[-1])
        images, labels = self.pixels.batch(torch.cat(parts)[self.ranks.rank :: self.ranks.size])
        return images.to(self.device), labels.to(self.device)

    def _seed(self, stage: int, step: int, rank: int = 0) -> int:
        """A seed of 32 bits, which are all that torch's generator of random numbers heeds."""
        return (step + GOLDEN * ((rank * 2**16 + self.options.seed) * 64 + stage)) % 2**32

    def _share(self, step: int, stage: int) -> float:
        """How much of the stage is done, by steps or by the clock, whichever is ahead."""
        share = step / self.steps
        if self.options.minutes is not None:
            share = max(share, self.elapsed_s / 60 / self.options.minutes * self.stages - stage)
        return min(1.0, max(share, 0.0))

    def _set_lr(self, optimizer: torch.optim.Optimizer, share: float) -> float:
        """Set the learning rate: linear warm-up, then a cosine to zero."""
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
            names = tuple(name for name in self.options.augment or () if name in ("crop", "flip"))
            generator = torch.Generator().manual_seed(self._seed(self.stages, i, self.ranks.rank))
            mixed = augment(images, labels, names, generator)
            with self._autocast():
                prepared.forward_pixels(mixed.images)
        if self.options.recalibrate_bn:
            _average_statistics(prepared, self.ranks)

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
        foreign = self.foreign | prepared.foreign | foreign_schemes(prepared)
        record |= {
            "foreign": sorted((found.to_json() for found in foreign), key=lambda json: (json["kind"], json["name"]))
        }
        checkpoint.save(self.saved, prepared, optimizer, average, record)


class _Forward(nn.Module):
    """A loss as a module, which is what can be made parallel."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.prepared, self._loss = loss.prepared, loss

    def forward(self, batch: Mixed) -> tuple[Tensor, Tensor]:
        return self._loss(batch)


def _average_statistics(prepared: PreparedModel, ranks: Ranks) -> None:
    """Give batch norms the mean of what they learned on the ranks' images."""
    found = {
        f"{node}.{name}": getattr(layer, name)
        for node, layer in prepared.layers.items()
        for name in ("bn_mean", "bn_var")
        if hasattr(layer, name)
    }
    if ranks.size > 1:
        everyone = gather_arrays(ranks, {name: tensor.cpu().numpy() for name, tensor in found.items()})
        for name, tensor in found.items():
            tensor.copy_(torch.from_numpy(np.mean([arrays[name] for arrays in everyone], axis=0, dtype=np.float64)))


def _layers(prepared: PreparedModel) -> list[Layer]:
    return [layer for layer in prepared.layers.values() if isinstance(layer, Layer)]
