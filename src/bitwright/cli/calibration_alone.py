"""What calibration alone makes of the model that was trained: whether the training was worth its time."""

from typing import TYPE_CHECKING, Any

from bitwright.artifact import Artifact
from bitwright.classes import ClassNames
from bitwright.cli.output import report, shown
from bitwright.comparison import compare
from bitwright.errors import BitwrightError
from bitwright.images.sources import ImageSource
from bitwright.labels import By
from bitwright.progress import Wordless
from bitwright.recipe import Recipe
from bitwright.records import CalibrationAlone

if TYPE_CHECKING:
    from bitwright.models import LoadedModel

IMAGES = 512
CERTAIN = 0.05
"""A p below that is a difference; above, these images cannot tell the two models apart."""


def calibration_alone(
    loaded: "LoadedModel",
    trained: Artifact,
    recipe: str,
    source: ImageSource,
    tested: ImageSource,
    *,
    seed: int,
    classes: ClassNames | None,
    labels: By,
) -> CalibrationAlone | None:
    """What `bitwright quantize` with the same recipe gets right of the test images, beside the trained model.

    None where nothing but training helps (binary weights), where the images have no labels, or where it fails, which is said.
    """
    plan = Recipe.parse(recipe)
    if plan.weights == "binary":
        return None
    from bitwright.quantization import quantize

    how: dict[str, Any] = {"preprocess": trained.preprocess, "recipe": plan, "seed": seed, "classes": trained.classes}
    images = source.sample(min(IMAGES, len(source)), seed)
    try:
        with shown() as progress:
            calibrated = quantize(loaded.float_model, images, progress=Wordless(progress), **how)
            found = compare(
                calibrated, trained, tested, classes=classes, labels=labels, timed=False, progress=progress
            ).answers
    except BitwrightError as error:
        report(f"note: what calibration alone would do was not measured: {error}")
        return None
    if found is None or found.first_top1 is None or found.p is None:
        return None
    alone = CalibrationAlone(found.first_top1, 0.0 - found.drop.points, found.p)
    if alone.p >= CERTAIN or alone.gain < 0:
        report(
            f"note: calibration alone has {alone.top1:.2f} % of these images right, and training is not measurably better "
            f"(McNemar's p = {alone.p:.2g}); `bitwright quantize --recipe {recipe}` needs no training"
        )
    return alone
