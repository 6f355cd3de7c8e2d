"""`calibrate`: ranges from images, then the corrections, each judged on images that it has not seen."""

import math
import warnings
from numbers import Integral
from typing import Any

import numpy as np
import safetensors.numpy

from bitwright.calibration_check import Seen
from bitwright.errors import CalibrationError, CalibrationWarning, MissingExtraError, ModelError, RecipeError
from bitwright.gradients import own_gradients
from bitwright.images.sources import Batches, ImageSource
from bitwright.progress import SILENT, Progress
from bitwright.ranks import ALONE, Ranks, first_json

try:
    import torch
except ImportError as error:
    raise MissingExtraError("torch", "torch") from error

from bitwright.algorithms.correction import CORRECTIONS, Correction, corrections
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.clock import Span
from bitwright.algorithms.correction.data_free import expect_norms, observe_noise
from bitwright.algorithms.correction.extremes import Extremes
from bitwright.algorithms.correction.guard import Corrector, Yardstick
from bitwright.algorithms.correction.large import candidates, observe_again, split_large
from bitwright.algorithms.correction.sample import Picked, Sample
from bitwright.algorithms.correction.stream import Images, Stream
from bitwright.algorithms.correction.unscaled import undo as undo_scales
from bitwright.algorithms.correction.values import Memory
from bitwright.algorithms.ranges import RANGES, Range, range_algorithm
from bitwright.prepared import PreparedModel

MEMORY_BYTES = 2**31
AGAIN = 512
"""The most images that are looked at again after a correction has scaled channels: the extremes are known from all images."""
HELD_OUT, FEW_HELD_OUT = 448, 64
"""The most images that judge the corrections: all that no correction needs to see, or a quarter of all, whichever is more.
Where there are few images, up to half of them judge, until there are 64."""
LEAST_IMAGES = 16
"""The fewest images of which some are held out; below that, corrections are judged on what they have seen."""


@own_gradients
def calibrate(
    prepared: PreparedModel,
    images: Images | None,
    *,
    range: str | None = None,
    seed: int = 0,
    memory: int = MEMORY_BYTES,
    guard: bool = True,
    minutes: float | None = None,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Choose every scale from images, then run the recipe's corrections. A second calibration starts anew.

    Ranges come from all images. Corrections get some of them, drawn at random from the seed over all of them, and of
    every class its share where labels are known. Neither the order of the images nor how they are cut into batches
    makes a difference. Images that no correction has seen then tell what each one did to the integer model's logits:
    one that did not help is undone.

    Args:
        prepared: what `prepare` returned; it is changed.
        images: uint8 [N, H, W, C], an iterable of such batches, or an image source. None: the batch norms have to tell
            what the images were like; nothing is measured then, so expect less.
        range: the range algorithm, in place of the recipe's.
        seed: of the choice of images and of what corrections draw.
        memory: how many bytes corrections may hold of what they compute; the rest lies in a temporary file.
        guard: whether corrections that do not help are undone.
        minutes: what `reconstruct` and `finetune_scales` may take together, about: they learn in fewer steps where the
            machine is slower, so that the result depends on it. What they begin with is computed whole. None: no limit.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).
        ranks: processes that call this with equal arguments and share the images, a batch each in turn. They merge what
            they saw, rank 0 runs the corrections, and all of them have its model in the end: to the bit that of one
            process alone with as many threads of torch.

    Returns:
        A record as plain data: `images`, `sha256` of the images' SHA-256, `range`, `corrections` and what they did, `bad` for
            images that could not be read, `warnings`, `data_free`.

    Raises:
        CalibrationError: there are no images, or the float model does not stay finite.
        RecipeError: without images, one of the recipe's corrections needs some.
        ModelError: `prepared` is no prepared model.

    Images that are a single one, nearly equal, or of one colour are told in a CalibrationWarning and in `warnings`.
    """
    expect_prepared(prepared)
    expect_seed(seed)
    expect_minutes(minutes)
    algorithm = range_algorithm(range or prepared.recipe.range)
    chosen = corrections(prepared.recipe.algorithms)
    ruled = [RANGES.origin(rule.range) for rule in prepared.recipe.rules if rule.range]
    origins = [RANGES.origin(algorithm.name), *ruled, *(CORRECTIONS.origin(correction.name) for correction in chosen)]
    if isinstance(images, ImageSource | Batches):
        origins.append(images.opened_by)
    prepared.foreign |= {origin for origin in origins if origin is not None}
    training = prepared.training
    undo_scales(prepared.eval())
    prepared.calibrator.forget()
    if images is None and prepared.given:
        return _settled_by_the_file(prepared.train(training), algorithm)
    if images is None:
        return _calibrate_without_images(prepared.train(training), algorithm, chosen, seed)
    stream = Stream.of(images, prepared.preprocess, ranks)
    watched = [] if prepared.given else candidates(prepared)
    extremes = Extremes(prepared, [*watched, *(name for algorithm in chosen for name in algorithm.watches(prepared))])
    room = Memory(memory)
    sample = _sample(stream, chosen, room, seed, again=bool(watched))
    seen = Seen()
    for batch, labels, places in stream:
        seen.add(batch, places)
        logits = prepared.calibrator.observe(torch.from_numpy(batch).to(prepared.image_scale.device), see=extremes.see)
        if sample is not None:
            sample.add(batch, labels, logits)
        done = seen.images * ranks.size
        progress.at("calibrating", min(done, stream.length or done), stream.length or done)
    if ranks.size > 1:
        prepared.calibrator.merge(ranks)
        extremes.merge(ranks)
        seen.merge(ranks, int(np.prod(stream.shape)))
        stream.merge()
        if sample is not None:
            sample.merge(ranks)
    if not seen.images:
        raise CalibrationError("there are no images to calibrate on")
    if sample is not None and (parts := split_large(prepared, extremes)):
        observe_again(prepared, parts, Picked(sample.images, sample.order()[:AGAIN]), extremes)
    prepared.calibrator.choose_ranges(algorithm)
    record: dict[str, Any] = {"images": seen.images, "sha256": seen.sha256, "range": algorithm.name}
    if sample is not None and chosen and ranks.rank == 0:
        record |= _correct(prepared, chosen, sample, extremes, room, seed, guard, minutes, algorithm, progress)
    record = first_json(ranks, record)
    agree(prepared, ranks)
    prepared.train(training)
    found = seen.findings()
    for text in found:
        warnings.warn(CalibrationWarning(text), stacklevel=2)
    return {**record, **({"bad": stream.bad} if stream.bad else {}), **({"warnings": found} if found else {})}


def agree(prepared: PreparedModel, ranks: Ranks) -> None:
    """Give the model of every rank the parameters, scales and statistics of rank 0's."""
    if ranks.size > 1:
        own = {name: tensor.detach().cpu().numpy() for name, tensor in prepared.state_dict().items()}
        packed = safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in own.items()})
        found = safetensors.numpy.load(ranks.first(packed if ranks.rank == 0 else b""))
        prepared.load_state_dict({name: torch.from_numpy(array) for name, array in found.items()})


def _sample(stream: Stream, chosen: list[Correction], room: Memory, seed: int, again: bool) -> Sample | None:
    """What draws the images that are looked at again, and those for the corrections; None where there are neither."""
    if not chosen and not again:
        return None
    most = max(_needed(chosen) + HELD_OUT, AGAIN) if chosen else AGAIN
    if stream.length is not None:
        most = min(most, stream.length)
    return Sample(room.values((most, *stream.shape), np.uint8), seed, stream.counts)


def _needed(chosen: list[Correction]) -> int:
    """How many images are enough for every one of the corrections."""
    return max(correction.most_images for correction in chosen)


def _held_out(images: int, needed: int) -> int:
    if images < LEAST_IMAGES:
        return 0
    return min(HELD_OUT, max(images - needed, images // 4, min(FEW_HELD_OUT, images // 2)))


def _correct(
    prepared: PreparedModel,
    chosen: list[Correction],
    sample: Sample,
    extremes: Extremes,
    room: Memory,
    seed: int,
    guard: bool,
    minutes: float | None,
    algorithm: Range,
    progress: Progress,
) -> dict[str, Any]:
    """Run the corrections; returns what the record says of them."""
    order, logits = sample.order(), sample.logits()
    held = _held_out(len(order), _needed(chosen)) if guard else 0
    fitted, judged = Picked(sample.images, order[held:]), Picked(sample.images, order[: held or None])
    yardstick = Yardstick(judged, logits[: held or None]) if guard else None
    calibration = Calibration(fitted, room, seed, largest=extremes.largest(), growth=extremes.growth())
    again = Picked(sample.images, order[:AGAIN])
    span = Span() if minutes is None else Span.of(60 * minutes)
    corrector = Corrector(prepared, calibration, algorithm, extremes, again, yardstick, progress, span)
    verdicts = corrector.run(chosen)
    for verdict in verdicts:
        if not verdict.kept and verdict.after != verdict.before:
            progress.say(str(verdict))
    limit = {} if minutes is None else {"minutes": minutes}
    if not guard:
        return limit
    judged_on = {"images": len(judged), "held_out": held > 0}
    return {"corrections": [verdict.to_json() for verdict in verdicts], "judged_on": judged_on, **limit}


def _settled_by_the_file(prepared: PreparedModel, algorithm: Range) -> dict[str, Any]:
    """Choose the scales of weights that a quantized file does not give. CalibrationError where it lacks one of a value."""
    values = prepared.unsettled
    if values:
        raise CalibrationError(
            f"the file gives no scale for {len(values)} of its values: {', '.join(values)}; give images to choose them from"
        )
    prepared.calibrator.choose_ranges(algorithm)
    return {"images": 0, "range": "the file"}


def _calibrate_without_images(
    prepared: PreparedModel, algorithm: Range, chosen: list[Correction], seed: int
) -> dict[str, Any]:
    training = prepared.training
    _expect_no_need_of_images(prepared.recipe.name, chosen)
    expect_norms(prepared.eval())
    for correction in chosen:
        if correction.before_ranges:
            correction.apply_without_images(prepared)
    observe_noise(prepared, seed)
    prepared.calibrator.choose_ranges(algorithm)
    for correction in chosen:
        if not correction.before_ranges:
            correction.apply_without_images(prepared)
    prepared.train(training)
    return {"images": 0, "data_free": True, "range": algorithm.name}


def _expect_no_need_of_images(recipe: str, chosen: list[Correction]) -> None:
    """Raise RecipeError where one of the recipe's corrections has no form without images."""
    rest = [correction.name for correction in chosen if correction.is_data_free]
    for correction in chosen:
        if not correction.is_data_free:
            raise RecipeError(
                f"the recipe {recipe!r} has {correction.name!r}, which needs images; give some (--data), or leave it out: "
                f"--algorithms {','.join(rest) or 'none'}, or algorithms = {rest} in a recipe file"
            )


def expect_seed(seed: int) -> None:
    """Raise CalibrationError unless it is a seed: a whole number of 32 bits."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**32:
        raise CalibrationError(f"expected a whole number from 0 to {2**32 - 1} as the seed, found {seed!r:.100}")


def expect_minutes(minutes: float | None) -> None:
    """Raise CalibrationError unless it is a number of minutes above 0, or None."""
    known = isinstance(minutes, int | float) and not isinstance(minutes, bool)
    if minutes is not None and not (known and 0 < minutes < math.inf):
        raise CalibrationError(f"expected minutes above 0, found {minutes!r:.100}")


def expect_prepared(prepared: object) -> None:
    """Raise ModelError unless it is what `prepare` returns."""
    if not isinstance(prepared, PreparedModel):
        raise ModelError(
            f"expected a prepared model, found {type(prepared).__name__}; bitwright.prepare(model, preprocess=...) makes one, "
            "bitwright.calibrate gives it ranges, and bitwright.quantize does all of it in one call"
        )
