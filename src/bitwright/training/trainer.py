"""`train`: a float model and labelled images in, an artifact out, by quantization-aware training in one or more stages."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.artifact import Artifact
from bitwright.artifact_file.storable import expect_storable
from bitwright.chance import doubts
from bitwright.classes import ClassNames
from bitwright.errors import TrainingError
from bitwright.evaluation import float_predictor, known_classes
from bitwright.files import expect_writable
from bitwright.gradients import own_gradients
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource, as_source
from bitwright.labels import By, fit_labels, names_for
from bitwright.models.float_models import FloatModel, FloatModelLike, TorchModel, float_model
from bitwright.prediction import class_count, classes_of
from bitwright.prepared import PreparedModel
from bitwright.prepared.foreign import foreign_schemes
from bitwright.progress import SILENT, Progress
from bitwright.quantization import calibrate, convert
from bitwright.ranks import ALONE, Ranks, first_json
from bitwright.recipe import Recipe
from bitwright.training import checkpoint
from bitwright.training.augmentation import crop
from bitwright.training.loop import Loop
from bitwright.training.options import Options
from bitwright.training.pixels import Pixels
from bitwright.training.qat import prepare_qat
from bitwright.training.teacher import Teacher

CALIBRATION = 512
HARM = 10.0
"""How many points of accuracy an augmentation may cost the float model, to be one that is used unasked."""
Spec = str | PathLike[str] | Recipe


@own_gradients
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
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> Artifact:
    """Train a float model quantized, with a loop that is known to work, and convert it.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes].
        source: images with labels; an image source, or what `open_source` takes.
        preprocess: how a picture becomes the model's input.
        recipe: one, or several: stages, one after the other, each from the weights of the one before. Fewer and fewer
            bits, or, for 1-bit networks, activations first (`["w8a1", "w1a1"]`).
        training: the training algorithm, in place of the recipes'.
        options: every number of the run.
        teacher: takes the same images and has the same classes; None: the float model, where the options ask for a
            teacher.
        start: the checkpoint of an earlier run of this model; the first stage begins with what that learned (its scales
            only where the recipe is the same).
        resume: a file that the run is saved to as it goes, and goes on from, to the bit, where it exists.
        device: where it trains; None: cuda where there is one.
        classes: names of the model's classes, or a file of them.
        labels: how the source's labels are matched with the classes (`bitwright.labels`); a model without names is
            taught the source's classes in the source's order.
        progress: called now and then with where the run is.
        ranks: processes that call this with equal arguments and share every batch; gradients are averaged over them, rank
            0 writes `resume`, which all of them read, and each returns the artifact.

    Raises:
        LabelError, ModelError: labels or the teacher do not fit the model; before the first step.
        TrainingError: labels are missing, the loss is not finite, or the checkpoint is of another run.
        ArtifactError: no file could hold the names of layers, or the recipes; before the first step.
        ImageError: an image cannot be read.
        CaptureError, RecipeError: see `prepare`.
    """
    source, run = as_source(source), options or Options()
    recipes = [recipe] if isinstance(recipe, str | PathLike | Recipe) else list(recipe)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = float_model(model)
    if isinstance(model, TorchModel) and isinstance(model.model, nn.Module):
        model.model.cpu()
    first = prepare_qat(model, preprocess=preprocess, recipe=recipes[0], training=training)
    plans = [Recipe.parse(spec) for spec in recipes]
    names = tuple(plan.name for plan in plans)
    for plan in plans:
        expect_storable(provenance={"recipe": plan.to_json(), "training": {"options": asdict(run), "stages": names}})
    outputs = first.graph.values[first.graph.output].shape[0]
    known = known_classes(None, classes, outputs)
    named = names_for(source, outputs) if known is None else known.names
    taught_by = None if teacher is None else Teacher(teacher, outputs, replace(preprocess, encoder=None), where)
    pixels = Pixels(fit_labels(source, known, outputs, labels).source, preprocess)
    if (doubt := _doubts(model, pixels, run.seed, class_count(outputs))) is not None:
        progress.say(f"warning: {doubt}")
    if run.augment is None:
        run = replace(run, augment=_harmless(model, pixels, run.seed, progress))
    saved = None if resume is None else Path(resume)
    if saved is not None:
        expect_writable(saved, TrainingError)
    loop = Loop(run, pixels, where, taught_by, saved, progress, names, ranks)
    prepared: PreparedModel | None = None
    loop.foreign |= set() if source.opened_by is None else {source.opened_by}
    for path in (start, resume):
        if path is not None and Path(path).exists():
            loop.foreign |= checkpoint.foreign(Path(path))
    learned: dict[str, Tensor] = {}
    for stage, spec in enumerate(recipes):
        following = prepare_qat(model, preprocess=preprocess, recipe=spec, training=training) if stage else first
        if prepared is None:
            pixels_only = replace(preprocess, encoder=None)
            same = preprocess == pixels_only  # a teacher sees the pixels, whatever its student sees
            own = following if same else prepare_qat(model, preprocess=pixels_only, recipe=spec, training=training)
            loop.float_model = copy.deepcopy(own).to(where)
            learned = {} if start is None else _learned(Path(start), following)
        else:
            learned = prepared.cpu().state_dict()
        _carry(learned, following)
        calibrate(following, pixels.batch(_sample(len(pixels), run.seed))[0].numpy(), ranks=ranks)
        if start is not None and not stage and checkpoint.recipe(Path(start)) == names[0]:
            _carry(learned, following, scales=True)
        prepared = loop.run(following.to(where), stage)
        loop.foreign |= prepared.foreign | foreign_schemes(prepared)
    assert prepared is not None
    prepared.foreign |= loop.foreign  # whatever had a part in an earlier stage had one in the result
    record: dict[str, Any] = {
        "options": asdict(run),
        "algorithm": prepared.recipe.training,
        "stages": list(names),
        "images": len(pixels),
        "images_seen": loop.seen,
        "minutes": round(loop.elapsed_s / 60, 1),
        **({"ranks": ranks.size} if ranks.size > 1 else {}),
    }
    record = first_json(ranks, record)  # each has a clock of its own
    return convert(prepared.cpu().eval(), classes=named, provenance={"seed": run.seed, "training": record})


def _doubts(model: FloatModel, pixels: Pixels, seed: int, classes: int) -> str | None:
    """What to say of the float model's answers on some of the images, where these are no better than guesses."""
    images, labels = pixels.batch(_sample(len(pixels), seed))
    guesses = classes_of(float_predictor(model, replace(pixels.preprocess, encoder=None))(images.numpy()))
    return doubts("the float model itself", labels.tolist(), guesses.tolist(), classes)


def _harmless(model: FloatModel, pixels: Pixels, seed: int, progress: Progress) -> tuple[str, ...]:
    """Of crop and flip those whose images the float model still knows; it is said which are left out."""
    images, labels = pixels.batch(_sample(len(pixels), seed))
    predict = float_predictor(model, replace(pixels.preprocess, encoder=None))
    made = {"crop": crop(images, torch.Generator().manual_seed(seed)), "flip": images.flip(2)}
    right = {
        name: 100 * float(np.mean(classes_of(predict(some.numpy())) == labels.numpy()))
        for name, some in {"": images, **made}.items()
    }
    for name in made:
        if right[name] < right[""] - HARM:
            progress.say(
                f"note: no augmentation by {name}: the float model knows {right['']:.1f} % of {len(images)} training images, "
                f"{right[name]:.1f} % with it; --augment (augment=) asks for it all the same"
            )
    return tuple(name for name in made if right[name] >= right[""] - HARM)


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
