"""`robustness`: both models on pictures that something happened to, by chance or by design."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitwright.audit.attacks import ATTACKS, Logits, through_float, through_prepared
from bitwright.audit.corruptions import CORRUPTIONS
from bitwright.audit.decision_records import Attacked, Corrupted, Robustness
from bitwright.audit.matching import prepared_quietly, recipe_of
from bitwright.audit.subject import BATCH, Subject, run_engine, same_pixels
from bitwright.budget.drop import drop_between
from bitwright.chance import mcnemar
from bitwright.engine import Engine
from bitwright.evaluation import float_predictor
from bitwright.prediction import classes_of
from bitwright.progress import SILENT, Progress, Wordless
from bitwright.quantization import calibrate
from bitwright.recipe import Recipe

CORRUPTED_IMAGES = 500
ATTACKED_IMAGES = 200
EPSILONS = (1.0, 2.0, 4.0)
"""The sizes of attacks, in levels of a pixel (0..255)."""
Pixels = npt.NDArray[np.uint8]
Classes = npt.NDArray[np.int64]
REMARK = (
    "attacks follow the float model's gradient, which knows nothing of rounding, and the prepared model's straight-through "
    "estimate, which rounding can mask; neither alone proves anything, so 'worst' is what withstood all of them, and an attack "
    "that asks the integers themselves may do more"
)


def robustness(subject: Subject, seed: int = 0, progress: Progress = SILENT) -> Robustness:
    """Corrupt and attack the first images of a subject; without labels, the float model's classes of the plain ones count."""
    if not same_pixels(subject.preprocess, subject.artifact.preprocess):
        return Robustness(
            (), (), "not measured: the two models see different pixels, so no picture can be shown to both"
        )
    models = _Models(subject)
    corruptions = tuple(_corrupted(subject, models, progress))
    attacks = tuple(_attacked(subject, models, seed, progress))
    return Robustness(corruptions, attacks, REMARK)


class _Models:
    """Both models: the class of each picture."""

    def __init__(self, subject: Subject) -> None:
        self._engine = Engine(subject.artifact, threads=subject.threads)
        self._float = float_predictor(subject.model, subject.preprocess)

    def integer(self, pixels: Pixels) -> Classes:
        return classes_of(run_engine(self._engine, pixels))

    def float_(self, pixels: Pixels) -> Classes:
        return np.concatenate([classes_of(self._float(pixels[i : i + BATCH])) for i in range(0, len(pixels), BATCH)])


def _corrupted(subject: Subject, models: _Models, progress: Progress) -> Iterator[Corrupted]:
    seen, done = subject.seen.head(CORRUPTED_IMAGES), 0
    total = sum(len(kind.settings) for kind in CORRUPTIONS)
    for kind in CORRUPTIONS:
        for strength, setting in enumerate(kind.settings, 1):
            pixels = kind.apply(seen.pixels, setting)
            one, other = models.float_(pixels), models.integer(pixels)
            labels = seen.labels
            drop = None if labels is None else drop_between(other, one, labels)
            yield Corrupted(
                corruption=kind.name,
                strength=strength,
                setting=kind.describe(setting),
                images=len(pixels),
                float_top1=None if drop is None else drop.float_top1,
                integer_top1=None if drop is None else drop.top1,
                agreement=100 * float((one == other).mean()),
                p=None if drop is None else mcnemar(drop.lost, drop.gained),
            )
            done += 1
            progress.at("corruptions", done, total)


def _attacked(subject: Subject, models: _Models, seed: int, progress: Progress) -> Iterator[Attacked]:
    seen = subject.seen.head(ATTACKED_IMAGES)
    wanted = subject.float_classes[: len(seen.pixels)] if seen.labels is None else seen.labels
    routes = _routes(subject, seed, progress)
    done, total = 0, len(EPSILONS) * len(routes) * len(ATTACKS)
    for epsilon in EPSILONS:
        withstood = [np.ones(len(wanted), bool), np.ones(len(wanted), bool)]
        for through, logits in routes.items():
            for name, attack in ATTACKS.items():
                pixels = attack(logits, seen.pixels, wanted, epsilon)
                right = [found == wanted for found in (models.float_(pixels), models.integer(pixels))]
                withstood = [before & now for before, now in zip(withstood, right, strict=True)]
                yield _record(name, through, epsilon, right)
                done += 1
                progress.at("attacks", done, total)
        yield _record("worst", "all of them", epsilon, withstood)


def _record(name: str, through: str, epsilon: float, right: list[npt.NDArray[np.bool_]]) -> Attacked:
    one, other = (100 * float(each.mean()) for each in right)
    return Attacked(name, through, epsilon, len(right[0]), one, other)


def _routes(subject: Subject, seed: int, progress: Progress) -> dict[str, Logits]:
    """The models whose gradients attacks follow. The prepared one is calibrated anew, by the artifact's recipe."""
    artifact = subject.artifact
    plain = prepared_quietly(subject.captured, replace(subject.preprocess, encoder=None), Recipe())
    prepared = prepared_quietly(subject.captured, artifact.preprocess, recipe_of(artifact))
    calibrate(prepared, subject.fit_source, seed=seed, progress=Wordless(progress))
    routes = {"float": through_float(plain)}
    return routes if artifact.preprocess.bits is not None else {**routes, "prepared": through_prepared(prepared)}
