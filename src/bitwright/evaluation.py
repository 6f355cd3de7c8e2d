"""`evaluate`: how well a model classifies a set of images. For an artifact every figure is measured on the integers."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.class_files import class_names
from bitwright.classes import ClassNames, named_anew
from bitwright.engine import Engine
from bitwright.errors import BitwrightError, ModelError
from bitwright.images.mode_hint import mode_hint
from bitwright.images.preprocess import Preprocess, expect_preprocess
from bitwright.images.sources import ImageSource, as_source
from bitwright.labels import By, fit_labels, storable
from bitwright.prediction import are_probabilities, class_count
from bitwright.progress import SILENT, Progress
from bitwright.ranks import ALONE, Ranks, gather_json, share
from bitwright.tally import Evaluation, Tally

if TYPE_CHECKING:
    from bitwright.models.float_models import FloatModel, FloatModelLike

__all__ = ["Evaluation", "evaluate", "float_predictor", "known_classes", "outputs_of"]

Logits = npt.NDArray[np.float32]
Predictor = Callable[[npt.NDArray[np.uint8]], Logits]
BATCH = 64


def evaluate(
    model: "Artifact | Engine | str | os.PathLike[str] | FloatModelLike",
    source: ImageSource | str | os.PathLike[str],
    *,
    reference: "FloatModelLike | None" = None,
    preprocess: Preprocess | None = None,
    classes: ClassNames | str | os.PathLike[str] | Iterable[str] | None = None,
    labels: By = "name",
    limit: int | None = None,
    strict: bool = False,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Classify a source's images, and compare with its labels and with a float `reference`.

    An artifact is measured by its integers.

    Args:
        model: an artifact, its path, an engine, or a float model (which needs `preprocess`).
        source: the images; an image source, or what `open_source` takes.
        reference: a float model of the same classes; gives `agreement` and `reference_top1`.
        preprocess: what the images of a float model go through; an artifact has its own.
        classes: names of the model's classes, or a file of them, in place of the artifact's.
        labels: how the source's labels are matched with the classes: by "name", by "index", or "none"
            (`bitwright.labels`).
        limit: only so many images, the first ones.
        strict: raise ImageError for an image that cannot be read; else it is reported in `bad` and counts nowhere.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).
        ranks: processes that call this with equal arguments and share the images; each returns the figures of all.

    Raises:
        LabelError: labels do not fit the model; before any image is read.
        SourceError: the images cannot be opened.
        ImageError: with `strict`, an image cannot be read.
        BitwrightError: a float model is given without `preprocess`.
    """
    source = as_source(source)
    if isinstance(model, Artifact | str | os.PathLike):
        model = Engine(model)
    artifact = model.artifact if isinstance(model, Engine) else None
    preprocess = artifact.preprocess if artifact is not None else preprocess
    if preprocess is not None:
        expect_preprocess(preprocess)
    if preprocess is None:
        if not isinstance(model, Engine):
            _float_model(model)  # raises where it is no model at all
        raise BitwrightError("a float model needs preprocess=bitwright.Preprocess(...) to be evaluated")
    outputs = model.artifact.outputs if isinstance(model, Engine) else outputs_of(model, preprocess)
    known = known_classes(None if artifact is None else artifact.known_classes, classes, outputs)
    fitted = fit_labels(source, known, outputs, labels)
    if reference is not None:
        _expect_classes(outputs_of(reference, preprocess), outputs)
    source = fitted.source if limit is None else fitted.source.head(limit)
    predict: Predictor = model if isinstance(model, Engine) else float_predictor(model, preprocess)
    refer = None if reference is None else float_predictor(reference, preprocess)
    tally = Tally(class_count(outputs), source.labels is not None, refer is not None)
    batches, done = source.batches(preprocess, BATCH, strict=strict), 0
    if ranks.size > 1:
        batches.only(share(len(source), BATCH, ranks))
    for batch in batches:
        tally.add(predict(batch.images), batch.labels, None if refer is None else refer(batch.images))
        done += len(batch.images) * ranks.size
        progress.at("evaluating", min(done, len(source)), len(source))
    if ranks.size > 1:
        found, tally = gather_json(ranks, tally.to_json()), tally.empty()
        for counted in found:
            tally.add_json(counted)
        batches.merge(ranks)
    float_bytes = _float_bytes(reference if isinstance(model, Engine) else model)
    return tally.evaluation(fitted, artifact, float_bytes, batches.bad)


def known_classes(
    own: ClassNames | None, given: ClassNames | str | os.PathLike[str] | Iterable[str] | None, outputs: int
) -> ClassNames | None:
    """What the classes of a model are called: as `given`, else by names of its `own`; None where nobody says."""
    return own if given is None else named_anew(own, storable(class_names(given)), class_count(outputs))


def outputs_of(model: "FloatModelLike", preprocess: Preprocess) -> int:
    """How many logits a float model gives an image, found by running it on black ones.

    Raises ModelError where it cannot run on images like these.
    """
    try:
        logits = _float_model(model).predict(preprocess.normalise(np.zeros((2, *preprocess.shape), np.uint8)))
    except BitwrightError:
        raise
    except Exception as error:  # somebody else's code raises what it likes
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = mode_hint(str(error), preprocess)
        raise ModelError(f"the float model cannot run on these images: {first}{hint}") from error
    return int(logits.shape[1])


def _expect_classes(reference: int, outputs: int) -> None:
    if class_count(reference) != class_count(outputs):
        raise ModelError(
            f"the reference has {class_count(reference):,} classes and the model {class_count(outputs):,}: nothing can be "
            "said of their agreement; expected a reference for the same classes"
        )


def float_predictor(model: "FloatModelLike", preprocess: Preprocess) -> Predictor:
    """Run a float model on uint8 images [N, H, W, C], normalised as `preprocess` says. ModelError for anything else.

    What it returns are the logits that an integer model of it has: where it ends in a softmax, those in front of that.
    """
    runs = _float_model(model)
    height, width, channels = replace(preprocess, encoder=None).shape
    graphs: list[FloatModel] = []

    def predict(images: npt.NDArray[np.uint8]) -> Logits:
        pixels = preprocess.normalise(images)
        found = (graphs[0] if graphs else runs).predict(pixels)
        if graphs or not _may_be_of_a_softmax(found):
            return found
        from bitwright.models.float_models import without_end

        graphs.append(without_end(runs, (channels, height, width)))
        return graphs[0].predict(pixels)

    return predict


def _may_be_of_a_softmax(found: Logits) -> bool:
    return are_probabilities(found) or (bool((found <= 0).all()) and are_probabilities(np.exp(found)))


def _float_model(model: "FloatModelLike") -> "FloatModel":
    from bitwright.models import float_model  # which needs torch, as an artifact does not

    return float_model(model)


def _float_bytes(model: "FloatModelLike | None") -> int | None:
    """The bytes of a float model's parameters and buffers, as far as it tells."""
    return None if model is None else getattr(_float_model(model), "float_bytes", None)
