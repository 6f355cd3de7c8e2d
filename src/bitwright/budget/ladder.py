"""`quantize_within`: what `quantize --auto` does. It tries the cheap algorithms first, then the expensive ones, measures
each integer model on images that nothing was fitted on, and stops at the first that keeps the budget.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from bitwright.algorithms.correction import CORRECTIONS
from bitwright.artifact import Artifact
from bitwright.artifact_file.storable import expect_storable
from bitwright.budget.cache import Cache
from bitwright.budget.drop import expect_max_drop
from bitwright.budget.held_out import IMAGES, fitted_labels, hold_out, read, split
from bitwright.budget.judge import Judge, Verified, expect_labels_to_judge_by, warn_where_unsure
from bitwright.budget.sensitivities import study_key
from bitwright.classes import ClassNames
from bitwright.errors import BudgetError
from bitwright.evaluation import known_classes
from bitwright.gradients import own_gradients
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import BadImage, ImageSource, as_source
from bitwright.labels import By, names_taken
from bitwright.models.float_models import FloatModelLike
from bitwright.prediction import class_count
from bitwright.progress import SILENT, Progress
from bitwright.quantization import MEMORY_BYTES, prepare
from bitwright.recipe import Recipe


@dataclass(frozen=True)
class Rung:
    """Algorithms to try, and what the last of them is for."""

    algorithms: tuple[str, ...]
    why: str


RUNGS = (
    Rung((), "ranges alone"),
    Rung(("equalize",), "channels share the codes better"),
    Rung(("equalize", "bias_correct"), "each channel gets back its mean"),
    Rung(("equalize", "adaround", "bias_correct"), "weights are rounded to what leaves a layer's result closest"),
    Rung(("equalize", "reconstruct", "bias_correct"), "blocks of layers learn to give the float model's results"),
)
"""The steps that are tried, from cheap to expensive."""


@dataclass(frozen=True)
class Tuned:
    """The first integer model that kept the budget, and all that were tried on the way: `steps` ends with it."""

    artifact: Artifact
    steps: tuple[tuple[Rung, Verified], ...]
    max_drop: float
    bad: tuple[BadImage, ...]

    @property
    def verified(self) -> Verified:
        return self.steps[-1][1]


@own_gradients
def quantize_within(
    model: FloatModelLike,
    source: ImageSource | str | PathLike[str],
    *,
    preprocess: Preprocess,
    max_drop: float = 0.5,
    recipe: str | PathLike[str] | Recipe = "w8a8",
    held_out: ImageSource | str | PathLike[str] | None = None,
    calibrate: int = 512,
    verify: int = IMAGES,
    seed: int = 0,
    memory: int = MEMORY_BYTES,
    threads: int | None = None,
    cache: str | PathLike[str] | None = None,
    classes: ClassNames | str | PathLike[str] | Iterable[str] | None = None,
    labels: By = "name",
    force: bool = False,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Tuned:
    """Quantize a float model with the cheapest of RUNGS that loses at most `max_drop` points of accuracy.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes].
        source: the images; an image source, or what `open_source` takes.
        preprocess: how a picture becomes the model's input.
        max_drop: how many points of top-1 may be lost, in percent of the images.
        recipe: gives widths and ranges; its algorithms do not count.
        held_out: the images that measure the drop; None: others of `source`.
        calibrate: how many images of the source are fitted on, those that `quantize` would draw with this seed.
        verify: how many images measure the drop, by their labels, else by the float model's classes.
        seed: of all that is drawn at random.
        memory: how many bytes corrections may hold; the rest lies in a temporary file.
        threads: of the engine; None: all that this process may use.
        cache: a folder that remembers whatever was measured.
        classes: names of the model's classes, or a file of them.
        labels: how the source's labels are matched with the classes (`bitwright.labels`).
        force: go on though the float model is at chance level by the labels.
        provenance: what else the artifact shall tell of how it was made.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).

    Returns:
        The artifact, whose provenance tells the rungs that were tried, and what was measured.

    Raises:
        BudgetError: no rung keeps the budget; or the float model is at chance level, unless `force`.
        LabelError: labels do not fit the model; before anything is computed.
        ArtifactError: no file could hold the provenance, or the names of layers; before anything is computed.
        ModelError, CaptureError, RecipeError, CalibrationError, OverflowBoundError: see `quantize`.
    """
    expect_max_drop(max_drop)
    expect_storable(provenance=provenance)
    source, held_out = as_source(source), None if held_out is None else as_source(held_out)
    plan, store = Recipe.parse(recipe), Cache(cache)
    prepared = prepare(model, preprocess=preprocess, recipe=plan, keep=False)
    outputs = prepared.graph.values[prepared.graph.output].shape[0]
    known = known_classes(None, classes, outputs)
    named = known or names_taken(source, outputs)
    if held_out is None:
        source = fitted_labels(source, known, outputs, labels, progress)
    else:
        held_out = fitted_labels(held_out, named, outputs, labels, progress)
    fitted, others = split(source, calibrate, verify, seed, held_out)
    pixels, bad = read(fitted, preprocess)
    key = study_key(prepared, pixels)
    verified = hold_out(others, model, key, preprocess, store, progress)
    expect_labels_to_judge_by(verified, outputs, force, progress)
    judge = Judge(model, key, preprocess, fitted, verified, seed, store, memory, threads, progress)
    steps: list[tuple[Rung, Verified]] = []
    for rung in (rung for rung in RUNGS if all(name in CORRECTIONS for name in rung.algorithms)):
        tried = judge.verify(replace(plan, algorithms=rung.algorithms))
        steps.append((rung, tried))
        within = tried.drop.points <= max_drop
        name = f"{plan.range} ranges" + "".join(f", {name}" for name in rung.algorithms)
        progress.say(f"{name}: {tried}, {'within' if within else 'not within'} {max_drop:g}")
        if within:
            break
    else:
        best = min(steps, key=lambda step: step[1].drop.points)[1]
        raise BudgetError(
            f"expected a drop of {max_drop:g} at most; of {len(steps)} ways the best one, with "
            f"{', '.join(best.recipe.algorithms) or 'ranges alone'}, has {best.drop}. Nothing was written; allow a greater "
            "drop, take a recipe of more bits, or let bitwright search find the layers that need them"
        )
    warn_where_unsure(max_drop, steps[-1][1], progress)
    artifact = judge.artifact(steps[-1][1].recipe)
    record = {"max_drop": max_drop, "steps": [_told(rung, tried) for rung, tried in steps]}
    record["float_at_chance"] = verified.at_chance(class_count(outputs)) is not None
    told = {**artifact.provenance, "auto": record, **(provenance or {})}
    artifact = replace(artifact, classes=None if named is None else named.names, provenance=told)
    return Tuned(artifact, tuple(steps), max_drop, (*bad, *verified.bad))


def _told(rung: Rung, tried: Verified) -> dict[str, Any]:
    return {"algorithms": list(rung.algorithms), "why": rung.why, "bytes": tried.bytes, "drop": tried.drop.to_json()}
