"""`evaluate`: how well a model classifies a set of images. For an artifact every figure is measured on the integers."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.errors import BitwrightError, MissingExtraError
from bitwright.preprocess import Preprocess
from bitwright.sources import BadImage, ImageSource, open_source

if TYPE_CHECKING:
    from torch import nn

Logits = npt.NDArray[np.float32]
Predictor = Callable[[npt.NDArray[np.uint8]], Logits]
Model = "Artifact | Engine | str | os.PathLike[str] | nn.Module"
BATCH = 64


@dataclass(frozen=True)
class ClassAccuracy:
    """How many images of one class were seen, and how many of these were classified right."""

    name: str
    images: int
    correct: int


@dataclass(frozen=True)
class Evaluation:
    """What was measured; `reference_*` is the float model's own accuracy.

    Percentages are of the images that could be read; None is what could not be measured. `confusion` counts (label,
    prediction) pairs: the ones that occur, in order.
    """

    images: int
    top1: float | None
    top5: float | None
    agreement: float | None
    reference_top1: float | None
    reference_top5: float | None
    per_class: tuple[ClassAccuracy, ...]
    confusion: tuple[tuple[int, int, int], ...]
    artifact_bytes: int | None
    float_bytes: int | None
    bad: tuple[BadImage, ...]

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return asdict(self)


def evaluate(
    model: "Artifact | Engine | str | os.PathLike[str] | nn.Module",
    source: ImageSource | str | os.PathLike[str],
    *,
    reference: "nn.Module | None" = None,
    preprocess: Preprocess | None = None,
    limit: int | None = None,
    strict: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Classify a source's images (the first `limit` of them) and compare with its labels, and with a float `reference`.

    `model` is an artifact, its path, an engine, or a PyTorch module (which needs `preprocess`). An image that cannot be read
    is reported in `bad` and counts nowhere; with `strict` it raises ImageError. `progress` is called with each batch's size.
    """
    if not isinstance(source, ImageSource):
        source = open_source(Path(source))
    if limit is not None:
        source = source.subset(np.arange(min(limit, len(source))))
    if isinstance(model, Artifact | str | os.PathLike):
        model = Engine(model)
    artifact = model.artifact if isinstance(model, Engine) else None
    preprocess = artifact.preprocess if artifact is not None else preprocess
    if preprocess is None:
        raise BitwrightError("a PyTorch model needs preprocess=bitwright.Preprocess(...) to be evaluated")
    predict: Predictor = model if isinstance(model, Engine) else torch_predictor(model, preprocess)
    refer = None if reference is None else torch_predictor(reference, preprocess)
    tally = _Tally()
    batches = source.batches(preprocess, BATCH, strict=strict)
    for batch in batches:
        tally.add(predict(batch.images), batch.labels, None if refer is None else refer(batch.images))
        if progress is not None:
            progress(len(batch.images))
    names = source.classes or (artifact.classes if artifact is not None else None)
    float_model = reference if artifact is not None else model
    return Evaluation(
        images=tally.images,
        top1=tally.percent(tally.top1) if tally.labelled else None,
        top5=tally.percent(tally.top5) if tally.labelled else None,
        agreement=tally.percent(tally.agreed) if refer is not None else None,
        reference_top1=tally.percent(tally.reference_top1) if refer is not None and tally.labelled else None,
        reference_top5=tally.percent(tally.reference_top5) if refer is not None and tally.labelled else None,
        per_class=tally.per_class(names),
        confusion=tuple((label, guess, n) for (label, guess), n in sorted(tally.confusion.items())),
        artifact_bytes=None if artifact is None else len(artifact.data),
        float_bytes=_float_bytes(float_model),
        bad=tuple(batches.bad),
    )


def torch_predictor(model: "nn.Module", preprocess: Preprocess) -> Predictor:
    """Run a PyTorch module in eval mode on uint8 images [N, H, W, C], normalised as the preprocessing says."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "torch") from error
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))

    def predict(images: npt.NDArray[np.uint8]) -> Logits:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with torch.no_grad():
                logits = model(torch.from_numpy(preprocess.normalise(images)).to(first.device, first.dtype))
        finally:
            for module, training in modes:
                module.training = training
        result: Logits = logits.float().cpu().numpy()
        return result

    return predict


def _float_bytes(model: Any) -> int | None:
    if not hasattr(model, "parameters"):
        return None
    tensors = [*model.parameters(), *model.buffers()]
    return sum(int(t.numel() * t.element_size()) for t in tensors if t.is_floating_point())


def _in_best_five(logits: Logits, labels: npt.NDArray[np.int64]) -> int:
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return int((best == labels[:, None]).any(axis=1).sum())


class _Tally:
    """Counts over the stream of batches."""

    def __init__(self) -> None:
        self.images = self.top1 = self.top5 = self.agreed = self.reference_top1 = self.reference_top5 = 0
        self.labelled = False
        self.confusion: Counter[tuple[int, int]] = Counter()

    def add(self, logits: Logits, labels: npt.NDArray[np.int64] | None, reference: Logits | None) -> None:
        self.images += len(logits)
        guesses = logits.argmax(axis=1)
        if reference is not None:
            self.agreed += int((guesses == reference.argmax(axis=1)).sum())
        if labels is None:
            return
        self.labelled = True
        self.top1 += int((guesses == labels).sum())
        self.top5 += _in_best_five(logits, labels)
        if reference is not None:
            self.reference_top1 += int((reference.argmax(axis=1) == labels).sum())
            self.reference_top5 += _in_best_five(reference, labels)
        self.confusion.update(zip(labels.tolist(), guesses.tolist(), strict=True))

    def percent(self, count: int) -> float:
        return 100 * count / self.images if self.images else 0.0

    def per_class(self, names: tuple[str, ...] | None) -> tuple[ClassAccuracy, ...]:
        seen: Counter[int] = Counter()
        for (label, _), n in self.confusion.items():
            seen[label] += n
        return tuple(
            ClassAccuracy(names[k] if names and k < len(names) else str(k), seen[k], self.confusion[k, k])
            for k in sorted(seen)
        )
