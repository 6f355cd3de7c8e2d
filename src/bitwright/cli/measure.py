"""Measuring models on images, as `evaluate` and `quantize --test` do it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bitwright.artifact import Artifact
from bitwright.chance import chance_remark, order_remark
from bitwright.classes import ClassNames
from bitwright.cli.output import byte_count, percent, report, report_bad, shown
from bitwright.cli.shareable import shareable
from bitwright.errors import BitwrightError, ModelError, SourceError
from bitwright.evaluation import evaluate
from bitwright.images.mode_hint import mode_hint
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.labels import By
from bitwright.ranks import ALONE, Ranks
from bitwright.records import Measured
from bitwright.tally import Evaluation

if TYPE_CHECKING:
    from bitwright.models import FloatModel, LoadedModel


@dataclass(frozen=True)
class Measurement:
    """Images to measure models on, and how; an artifact brings its own preprocessing."""

    source: ImageSource
    preprocess: Preprocess | None = None
    limit: int | None = None
    strict: bool = False
    classes: ClassNames | None = None
    labels: By = "name"
    ranks: Ranks = ALONE

    def of(self, subject: "Artifact | LoadedModel", reference: "FloatModel | None" = None) -> Evaluation:
        """Measure. What one has to know of the figures is said on stderr.

        Raises:
            LabelError: the labels do not fit the model.
            SourceError: no image could be read.
            ModelError: a float model can't run on images of this size.
        """
        total = min(self.limit or len(self.source), len(self.source))
        try:
            with shown() as progress:
                result = evaluate(
                    subject if isinstance(subject, Artifact) else subject.float_model,
                    self.source,
                    reference=reference,
                    preprocess=self.preprocess,
                    classes=self.classes,
                    labels=self.labels,
                    limit=self.limit,
                    strict=self.strict,
                    progress=progress,
                    ranks=self.ranks,
                )
        except RuntimeError as error:
            if isinstance(error, BitwrightError):
                raise
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            hint = "" if self.preprocess is None else mode_hint(str(error), self.preprocess)
            raise ModelError(f"the float model cannot run on these images: {first}{hint}") from error
        if result.images == 0:
            report_bad(result.bad)
            raise SourceError(f"{self.source.where}: none of the {total} images could be read")
        for remark in result.remarks:
            report(f"warning: {remark}")
        return result


def measured_on(
    artifact: Artifact,
    reference: "FloatModel",
    measurement: Measurement,
    data: str,
    called: str | None = None,
    untrained: bool = False,
) -> tuple[Artifact, Measured, int]:
    """The artifact with its accuracy and the reference's, which may be `called` something; the record; and the exit code.

    A reference that may be `untrained` is allowed to guess; the artifact is not.
    """
    result = measurement.of(artifact, reference)
    report_bad(result.bad)
    if untrained and result.at_chance and result.reference_at_chance and result.top1 is not None:
        right = round(result.top1 * result.images / 100)
        report(f"warning: {chance_remark('the trained model', right, result.images, result.classes)}")
    record = result.measured(shareable(data), None if called is None else shareable(called))
    provenance = {**artifact.provenance, "measured": record.to_json()}
    return replace(artifact, provenance=provenance), record, exit_code(result, untrained)


def exit_code(result: Evaluation, untrained: bool = False) -> int:
    """1 where the answers show that the model is of no use, or that figures mean nothing; else 0.

    The model only guesses, or labels are in another order than its classes, or the float model, if there is one and it is not
    `untrained`, only guesses them.
    """
    order = order_remark({(label, guess): images for label, guess, images in result.confusion})
    labels_do_not_fit = bool(result.reference_at_chance) and not untrained
    return int(bool(result.at_chance) or labels_do_not_fit or order is not None)


def figures(result: Evaluation) -> list[tuple[str, object]]:
    """What was measured, for a table."""
    return [
        ("images", f"{result.images:,}"),
        ("bad images", len(result.bad) or None),
        ("top-1", percent(result.top1)),
        ("top-5", percent(result.top5)),
        ("float top-1", percent(result.reference_top1)),
        ("agreement", percent(result.agreement)),
        ("artifact", None if result.artifact_bytes is None else byte_count(result.artifact_bytes)),
        ("float model", None if result.float_bytes is None else byte_count(result.float_bytes)),
    ]


def measured_rows(measured: Measured | None) -> list[tuple[str, object]]:
    """What a record says of an integer and a float model, for a table."""
    if measured is None:
        return []
    which = "float" if measured.reference is None else f"{measured.reference} in float"
    pairs = (
        ("top-1", measured.top1, measured.float_top1),
        ("top-5", measured.top5, measured.float_top5),
    )
    return [
        ("tested on", f"{measured.images:,} images of {measured.data}"),
        *((name, f"{percent(ours)}, {which} {percent(float_)}") for name, ours, float_ in pairs if ours is not None),
        ("agreement", percent(measured.agreement)),
    ]
