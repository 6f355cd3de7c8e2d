"""`sensitivity`: what each layer's weights, and the codes it writes, cost in accuracy at each width, and what they save.

All layers but the one in question have 8 bits; every figure is measured on the integers, in the engine. `probe.py` has the
formulas. The idea is as old as HAWQ (Dong et al. 2019); measuring the loss itself, layer by layer, is section 3.5 of
Hubara et al. 2020, "Improving Post Training Neural Quantization: Layer-wise Calibration and Integer Programming".
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitwright.algorithms.correction import corrections
from bitwright.budget.cache import Cache, graph_digest, pixels_digest
from bitwright.budget.costs import Cost, layer_costs
from bitwright.budget.held_out import read
from bitwright.budget.probe import Found, Probe
from bitwright.budget.variants import Base, Wanted, rules, tasks
from bitwright.budget.workers import Jobs, measure_all
from bitwright.errors import CalibrationError, RecipeError
from bitwright.gradients import own_gradients
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource, as_source
from bitwright.models.float_models import FloatModelLike
from bitwright.prepared import PreparedModel
from bitwright.progress import SILENT, Progress
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe, Rule

WIDTHS = (8, 6, 4, 3, 2)
MEASURED_IMAGES = 256
COMPARED_BYTES = 2**22
"""The most bytes of one layer's result that the SQNR is measured on."""
WALKED_BYTES = 2**27
"""The most bytes of the float model's largest value, on the images that means are corrected with."""
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sensitivity:
    """What was measured: the loss of each layer at each width, and its cost.

    Attributes:
        found: for each layer, kind and width: the loss in nats, and the SQNR in dB.
        costs: for each layer with weights and pair of widths (its weights, the codes it reads): bytes and seconds.
        base_loss: KL(float || all at 8 bits), in nats; the losses of `found` come on top of it.
        images: how many the losses are the mean of.
    """

    found: tuple[Found, ...]
    costs: tuple[Cost, ...]
    base_loss: float
    images: int

    def loss(self, layer: str, kind: str, bits: int) -> float:
        """The loss of one layer at a width; 0 at 8 bits, which all losses are relative to."""
        if bits == 8:
            return 0.0
        return next(f.loss for f in self.found if (f.layer, f.kind, f.bits) == (layer, kind, bits))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "images": self.images,
            "base_loss": self.base_loss,
            "layers": [asdict(found) for found in self.found],
            "costs": [asdict(cost) for cost in self.costs],
        }


@own_gradients
def sensitivity(
    model: FloatModelLike,
    images: Pixels | ImageSource | str | PathLike[str],
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
    bits: Sequence[int] = WIDTHS,
    kinds: Sequence[str] = ("weights", "activations"),
    latency: bool = True,
    threads: int | None = None,
    jobs: Jobs = 1,
    cache: str | PathLike[str] | Cache | None = None,
    progress: Progress = SILENT,
) -> Sensitivity:
    """Measure what every layer loses at every width, and what it costs. No labels are used.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes].
        images: uint8 [N, H, W, C], an image source, or what `open_source` takes.
        preprocess: how a picture becomes the model's input.
        recipe: gives ranges, and the cheap ones of the algorithms; its widths do not count.
        bits: the widths to measure.
        kinds: "weights", "activations", or both.
        latency: whether the engine is timed, too.
        threads: of the engine, for latency.
        jobs: how many processes share the rest; or what does it elsewhere, such as `bitwright.scale.probes.OnRay()`.
        cache: a folder in which every figure is kept as soon as it is measured, under the digest of all that it depends
            on; what is there is not measured again.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).

    Raises:
        CaptureError, RecipeError, CalibrationError, SourceError: see `quantize`.
        EngineError: the engine refuses the network.
        ArtifactError: the cache cannot be written.
    """
    store = cache if isinstance(cache, Cache) else Cache(cache)
    prepared = prepare(model, preprocess=preprocess, recipe=cheap(eight_bits(Recipe.parse(recipe))), keep=False)
    if unknown := set(kinds) - {"weights", "activations"}:
        raise RecipeError(
            f"expected of the kinds weights and activations, found {', '.join(map(repr, sorted(unknown)))}"
        )
    study = Study(prepared, _pixels(images, preprocess), store, bits, threads)
    return study.measure(kinds, latency, jobs, progress)


def _pixels(images: Any, preprocess: Preprocess) -> Pixels:
    """The pixels of a source, or those that were given. CalibrationError where they are of another type or shape."""
    if isinstance(images, ImageSource | str | PathLike):
        return read(as_source(images), preprocess)[0]
    shape = ", ".join(map(str, preprocess.shape))
    if (
        not isinstance(images, np.ndarray)
        or images.dtype != np.uint8
        or images.shape != (len(images), *preprocess.shape)
    ):
        found = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else f"{images!r:.80}"
        raise CalibrationError(f"expected uint8 images of [N, {shape}], or bitwright.open_source(...), found {found}")
    if len(images) == 0:
        raise CalibrationError("there are no images to measure on")
    return images


def eight_bits(recipe: Recipe) -> Recipe:
    """A recipe with 8 bits everywhere, and the ranges and algorithms of another."""
    plain = replace(recipe, inputs=None, first=Rule(), last=Rule(), layers=())
    return replace(plain, name="w8a8", weights="int8", activations="uint8")


def cheap(recipe: Recipe) -> Recipe:
    """A recipe without the algorithms that choose codes or scales: what layers are compared with, one at a time."""
    kept = [c.name for c in corrections(recipe.algorithms) if c.before_ranges or c.name == "bias_correct"]
    return replace(recipe, algorithms=tuple(kept))


def study_key(prepared: PreparedModel, pixels: Pixels) -> dict[str, Any]:
    """What tells a model, with its recipe and the images that it is fitted on, from others."""
    return {
        "model": graph_digest(prepared.graph),
        "preprocess": prepared.preprocess.to_json(),
        "recipe": prepared.recipe.to_json(),
        "images": pixels_digest(pixels),
    }


class Study:
    """One model on some images: what is known of it in the cache, and what is still to be measured."""

    def __init__(
        self, prepared: PreparedModel, images: Pixels, cache: Cache, bits: Sequence[int], threads: int | None
    ) -> None:
        if not all(isinstance(b, int) and 2 <= b <= 8 for b in bits):
            raise RecipeError(f"expected widths of 2 to 8 bits, found {', '.join(map(str, bits))}")
        self.prepared, self.images, self.cache, self.threads = prepared, images, cache, threads
        self.bits = tuple(sorted({8, *bits}, reverse=True))
        self.layers = {
            "weights": [name for name, layer in _layers(prepared) if layer.quantizer is not None],
            "activations": list(rules(prepared)),
        }
        self.key = study_key(prepared, images)
        self._base: Base | None = None

    def base(self) -> Base:
        """The model at 8 bits, calibrated when it is first needed."""
        if self._base is None:
            calibrate(self.prepared, self.images)
            self._base = Base(self.prepared, self.prepared.lower())
        return self._base

    def measure(self, kinds: Sequence[str], latency: bool, jobs: Jobs, progress: Progress) -> Sensitivity:
        """Measure what the cache does not know."""
        layers = [(node.name, kind) for node in self.prepared.graph.nodes for kind in kinds]
        units = [(layer, kind, b) for layer, kind in layers if layer in self.layers[kind] for b in self.bits]
        records = {unit: self.cache.get(**self.key, unit=unit) for unit in units}
        missing: dict[tuple[str, str], tuple[int, ...]] = {}
        for (layer, kind, b), record in records.items():
            if record is None:
                missing[layer, kind] = (*missing.get((layer, kind), ()), b)
        done = sum(record is not None for record in records.values())
        progress.at("sensitivity", done, len(units))
        base_loss = self.cache.get(**self.key, unit="base")
        if missing or base_loss is None:
            probe = self._probe()
            base_loss = probe.base
            self.cache.put(base_loss, **self.key, unit="base")
            with closing(measure_all(probe, self._tasks(missing), jobs)) as measured:  # an error ends processes at once
                for found in measured:
                    for one in found:
                        records[one.layer, one.kind, one.bits] = record = asdict(one)
                        self.cache.put(record, **self.key, unit=(one.layer, one.kind, one.bits))
                    done += len(found)
                    progress.at("sensitivity", done, len(units))
        costs = layer_costs(self, latency)
        images = min(MEASURED_IMAGES, len(self.images))
        return Sensitivity(tuple(Found(**records[unit]) for unit in units), costs, base_loss, images)

    def _probe(self) -> Probe:
        images = self.images[:MEASURED_IMAGES]
        parts = [images[i : i + 32] for i in range(0, len(images), 32)]
        logits = np.concatenate([_float_logits(self.prepared, torch.from_numpy(part)) for part in parts])
        return Probe(self.base().graph, self.prepared.preprocess, images, logits)

    def _tasks(self, missing: Wanted) -> Any:
        largest = max(int(np.prod(value.shape)) for value in self.prepared.graph.values.values())
        walked = max(1, min(128, WALKED_BYTES // (4 * largest)))
        compared = max(1, min(16, COMPARED_BYTES // (4 * largest)))
        return tasks(self.base(), missing, torch.from_numpy(self.images[:walked]), compared)


def _layers(prepared: PreparedModel) -> list[tuple[str, Any]]:
    return [(node.name, prepared.layer(node.name)) for node in prepared.graph.nodes]


@torch.no_grad()
def _float_logits(prepared: PreparedModel, images: torch.Tensor) -> npt.NDArray[np.float32]:
    logits: npt.NDArray[np.float32] = prepared.float_walk(prepared.real_input(images)).numpy()
    return logits
