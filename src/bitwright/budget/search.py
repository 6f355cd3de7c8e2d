"""`search`: the widths that make a model smallest or fastest while it loses no more accuracy than allowed.

Sensitivities and costs are measured, an integer programme gives the cheapest choice for each of many budgets of loss, and
bisection over these finds the cheapest one whose drop, measured on the integer model and on images that nothing was fitted
on, is within bounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from bitwright.artifact_file.storable import expect_storable
from bitwright.budget.cache import Cache
from bitwright.budget.costs import machine
from bitwright.budget.drop import expect_max_drop
from bitwright.budget.found import Found, Point
from bitwright.budget.held_out import IMAGES, fitted_labels, hold_out, read, split
from bitwright.budget.judge import Judge, Verified, expect_labels_to_judge_by, warn_where_unsure
from bitwright.budget.programme import Choice, expect_solver, pareto_front
from bitwright.budget.race import Latency, race
from bitwright.budget.sensitivities import WIDTHS, Study, cheap, eight_bits
from bitwright.budget.widths import Aim, codes_matter, problem, recipe_of
from bitwright.budget.workers import Jobs
from bitwright.classes import ClassNames
from bitwright.errors import BudgetError
from bitwright.evaluation import known_classes
from bitwright.gradients import own_gradients
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource, as_source
from bitwright.labels import By, names_taken
from bitwright.models.float_models import FloatModelLike
from bitwright.prediction import class_count
from bitwright.progress import SILENT, Progress
from bitwright.quantization import MEMORY_BYTES, prepare
from bitwright.recipe import Recipe

CHOICES = 48
"""The most choices on the Pareto front; bisection verifies about six of them."""
FASTER = 0.99
"""A choice is cheaper than 8 bits everywhere where it takes less than this much of their bytes or time."""
NEGLIGIBLE, OUT_OF_PROPORTION = 0.01, 2.0
"""To save less than this share of what 8 bits everywhere cost, no predicted loss is taken that is so many times as large."""
RECIPE = Recipe(algorithms=("equalize", "adaround", "bias_correct"))
"""Few bits need the rounding chosen with care."""


@own_gradients
def search(
    model: FloatModelLike,
    source: ImageSource | str | PathLike[str],
    *,
    preprocess: Preprocess,
    max_drop: float = 0.5,
    minimize: Aim = "bytes",
    bits: Sequence[int] = WIDTHS,
    recipe: str | PathLike[str] | Recipe = RECIPE,
    held_out: ImageSource | str | PathLike[str] | None = None,
    calibrate: int = 512,
    verify: int = IMAGES,
    seed: int = 0,
    memory: int = MEMORY_BYTES,
    threads: int | None = None,
    jobs: Jobs = 1,
    cache: str | PathLike[str] | None = None,
    classes: ClassNames | str | PathLike[str] | Iterable[str] | None = None,
    labels: By = "name",
    force: bool = False,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Found:
    """Find the smallest or the fastest integer model that loses at most `max_drop` points of accuracy.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes].
        source: the images; an image source, or what `open_source` takes.
        preprocess: how a picture becomes the model's input.
        max_drop: how many points of top-1 may be lost, in percent of the images.
        minimize: "bytes" of the artifact, or "latency" on this machine.
        bits: the widths to choose from.
        recipe: gives ranges and algorithms; its widths do not count.
        held_out: the images that measure the drop; None: others of `source`.
        calibrate: how many images of the source are fitted on, those that `quantize` would draw with this seed.
        verify: how many images measure the drop, by their labels, else by the float model's classes.
        seed: of all that is drawn at random.
        memory: how many bytes corrections may hold; the rest lies in a temporary file.
        threads: of the engine; None: all that this process may use.
        jobs: how many processes share the measuring of sensitivities, or what does it elsewhere.
        cache: a folder that remembers whatever was measured.
        classes: names of the model's classes, or a file of them.
        labels: how the source's labels are matched with the classes (`bitwright.labels`).
        force: go on though the float model is at chance level by the labels.
        provenance: what else the artifact shall tell of how it was made.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).

    Raises:
        BudgetError: 8 bits everywhere lose more than `max_drop`; or the float model is at chance level, unless `force`.
        LabelError: labels do not fit the model.
        MissingExtraError: SciPy is not installed.
        ArtifactError: no file could hold the provenance, or the names of layers; before anything is measured.
        CaptureError, RecipeError, CalibrationError, SourceError: see `quantize`.
    """
    expect_solver()
    expect_max_drop(max_drop)
    expect_storable(provenance=provenance)
    source, held_out = as_source(source), None if held_out is None else as_source(held_out)
    store, base = Cache(cache), eight_bits(Recipe.parse(recipe))
    prepared = prepare(model, preprocess=preprocess, recipe=cheap(base), keep=False)
    outputs = prepared.graph.values[prepared.graph.output].shape[0]
    known = known_classes(None, classes, outputs)
    named = known or names_taken(source, outputs)
    if held_out is None:
        source = fitted_labels(source, known, outputs, labels, progress)
    else:
        held_out = fitted_labels(held_out, named, outputs, labels, progress)
    fitted, others = split(source, calibrate, verify, seed, held_out)
    pixels, bad = read(fitted, preprocess)
    study = Study(prepared, pixels, store, bits, threads)
    verified = hold_out(others, model, study.key, preprocess, store, progress)
    expect_labels_to_judge_by(verified, outputs, force, progress)
    judge = Judge(model, study.key, preprocess, fitted, verified, seed, store, memory, threads, progress)
    uniform = judge.verify(base)
    progress.say(f"8 bits everywhere: {uniform}")
    expect_within(max_drop, uniform)
    warn_where_unsure(max_drop, uniform, progress)

    measured = study.measure(["weights"], minimize == "latency", jobs, progress)
    if minimize == "latency" and codes_matter(measured):
        measured = study.measure(["weights", "activations"], True, jobs, progress)
    posed = problem(study.prepared, measured, minimize)
    eight = Choice(dict.fromkeys(posed.reads, 8), dict.fromkeys((value for value, _ in posed.code_loss), 8))
    plain = Point(base, *posed.predicted(eight), uniform)
    points = [Point(recipe_of(choice, base), *posed.predicted(choice)) for choice in pareto_front(posed, CHOICES)]
    points = [point for point in points if point.predicted_cost < FASTER * plain.predicted_cost]
    points = _bisect(points, judge, max_drop, progress)
    best = _in_proportion(points, plain, judge, max_drop, progress) or uniform
    latency = None
    if minimize == "latency":
        best, latency = _faster(best, uniform, judge, threads, progress)
    if best is not uniform:
        warn_where_unsure(max_drop, best, progress, "the drop of the model chosen")
    artifact = judge.artifact(best.recipe)
    searched = {"minimize": minimize, "max_drop": max_drop, "bits": study.bits, "drop": best.drop.to_json()}
    searched["float_at_chance"] = verified.at_chance(class_count(outputs)) is not None
    record = {**artifact.provenance, "search": searched, **(provenance or {})}
    artifact = replace(artifact, classes=None if named is None else named.names, provenance=record)
    ran_on = None if latency is None else threads or int(machine()["processors"])
    return Found(artifact, best, plain, tuple(points), minimize, max_drop, latency, (*bad, *verified.bad), ran_on)


def expect_within(max_drop: float, verified: Verified) -> None:
    """Raise BudgetError unless a model keeps the budget."""
    if verified.drop.points > max_drop:
        raise BudgetError(
            f"expected a drop of {max_drop:g} at most; the best model that was tried has {verified.drop}. Nothing was "
            "written; allow a greater drop, or give more images to calibrate on, or other algorithms in the recipe"
        )


def _bisect(points: list[Point], judge: Judge, max_drop: float, progress: Progress) -> list[Point]:
    """Verify points until one within bounds stands beside one that is not; the last holds, or none does."""
    points, holds, fails = list(points), -1, len(points)
    while fails - holds > 1:
        middle = (holds + fails) // 2
        verified = judge.verify(points[middle].recipe)
        points[middle] = replace(points[middle], verified=verified)
        within = verified.drop.points <= max_drop
        holds, fails = (middle, fails) if within else (holds, middle)
        progress.say(f"{_widths(verified.recipe)}: {verified}, {'within' if within else 'not within'} {max_drop:g}")
    return points


def _in_proportion(
    points: list[Point], plain: Point, judge: Judge, max_drop: float, progress: Progress
) -> Verified | None:
    """The cheapest point that was verified to be within bounds; or one that costs hardly more and should lose far less.

    That one is verified, too, and put among the points. None where no point is within bounds.
    """
    cheapest = next((p for p in reversed(points) if p.verified and p.verified.drop.points <= max_drop), None)
    if cheapest is None:
        return None
    most, loss = cheapest.predicted_cost + NEGLIGIBLE * plain.predicted_cost, cheapest.predicted_loss
    for i, point in enumerate(points[: points.index(cheapest)]):
        if point.predicted_cost < most and point.predicted_loss * OUT_OF_PROPORTION < loss:
            verified = judge.verify(point.recipe)
            points[i] = replace(point, verified=verified)
            if verified.drop.points <= max_drop:
                less = 100 * (1 - cheapest.predicted_cost / point.predicted_cost)
                progress.say(
                    f"the cheapest within the budget costs {less:.1f} % less, for a predicted loss of {loss:.3g} nats in place "
                    f"of {point.predicted_loss:.3g}; taken instead: {verified}"
                )
                return verified
    return cheapest.verified


def _faster(
    best: Verified, uniform: Verified, judge: Judge, threads: int | None, progress: Progress
) -> tuple[Verified, tuple[Latency, Latency]]:
    """`best` if it is measurably faster than 8 bits everywhere, else `uniform`; and the latency of both."""
    plain, found = race([judge.artifact(uniform.recipe), judge.artifact(best.recipe)], threads)
    for who, latency in (("what was found", found), ("8 bits everywhere", plain)):
        if (remark := latency.remark(who)) is not None:
            progress.say(remark)
    if best is not uniform:
        progress.say(
            f"{found.median_ms:.4f} ms, 8 bits everywhere {plain.median_ms:.4f} ms, in turns; ratio {found.ratio:.3f}"
        )
        if found.ratio < FASTER:
            return best, (found, plain)
    progress.say("no choice of widths is measurably faster here than 8 bits everywhere, so these are kept")
    return uniform, (plain, plain)


def _widths(recipe: Recipe) -> str:
    weights = [rule.weights for rule in recipe.layers if rule.weights]
    return f"{recipe.weights}, but {len(weights)} layers" if weights else recipe.weights
