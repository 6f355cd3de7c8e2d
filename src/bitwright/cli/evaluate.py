"""`bitwright evaluate`: how well a model classifies a set of images. Of an artifact, imports no torch."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitwright.artifact import Artifact, load
from bitwright.classes import ClassNames
from bitwright.cli.float_model import FLOAT_FILES, logits_option, open_model
from bitwright.cli.label_options import Naming, label_options, limit_option
from bitwright.cli.measure import Measurement, exit_code, figures
from bitwright.cli.output import (
    json_option,
    print_json,
    print_pairs,
    print_table,
    report,
    report_bad,
    shown,
    usage_error,
)
from bitwright.cli.preprocess_line import tell
from bitwright.cli.preprocess_options import preprocess_options, resolve
from bitwright.cli.ranks import of_this_command
from bitwright.cli.ray_options import answers_options, opened
from bitwright.errors import SourceError
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource, open_source
from bitwright.labels import By
from bitwright.tally import Evaluation

if TYPE_CHECKING:
    from bitwright.models import LoadedModel


@click.command()
@click.argument("model", metavar="MODEL_OR_ARTIFACT")
@click.option("--data", required=True, metavar="SRC", help="The images, with their labels.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint for MODEL.")
@click.option("--reference", metavar="MODEL", help="A float model to compare with, image by image.")
@click.option("--reference-weights", type=click.Path(path_type=Path), help="A checkpoint for the reference.")
@limit_option
@click.option("--strict", is_flag=True, help="Stop at the first image that cannot be read.")
@click.option("--per-class", is_flag=True, help="Show the accuracy of each class.")
@click.option("--no-labels", is_flag=True, help="Run images without labels, or pass over theirs: as --labels none.")
@logits_option
@label_options
@preprocess_options
@json_option
@answers_options
def evaluate(
    model: str,
    logits: tuple[str, ...] | None,
    data: str,
    weights: Path | None,
    reference: str | None,
    reference_weights: Path | None,
    limit: int | None,
    strict: bool,
    per_class: bool,
    no_labels: bool,
    naming: Naming,
    as_json: bool,
    ray: str | None,
    answers: str | None,
    part: int,
    given: dict[str, Any],
) -> int:
    """Measure accuracy on images with labels, and agreement with a float model.

    The exit code is 1, too, where labels are in another order than the model's classes, as its answers show, or where the
    model is no better than guessing by them.
    A float MODEL is torchvision:NAME, timm:NAME, package.module:factory, a .pt2 or a .onnx file. With --ray it is an artifact,
    and every answer goes to Parquet files in DIR; a run that was killed goes on there.
    """
    if reference is None and reference_weights is not None:
        raise usage_error("--reference-weights needs --reference")
    ranks = of_this_command()
    subject, preprocess = _open(model, weights, logits, given)
    on_ray = opened(data, ray, answers)
    source = on_ray or open_source(data)
    by: By = "none" if no_labels else naming.by
    if source.labels is None and by != "none":
        raise SourceError(
            f"{data}: these images have no labels, so there is no accuracy to measure; give a folder with one folder for each "
            "class, or a .csv with labels, or --no-labels to run them without"
        )
    compared = None
    if reference is not None:
        compared = open_model(reference, reference_weights, option="--reference-weights").float_model
    if on_ray is not None:
        if not isinstance(subject, Artifact) or reference is not None or strict:
            raise usage_error("--ray evaluates an artifact alone; leave out --reference and --strict")
        known = _known(subject, naming, preprocess)
        named = subject if known is None else subject.with_classes(known)
        on_ray = on_ray if limit is None else on_ray.head(limit)
        found = _on_ray(named, on_ray, str(answers), by, ray, part)
        return _printed(replace(found, artifact_bytes=len(subject.data)), model, data, per_class, as_json)
    measurement = Measurement(source, preprocess, limit, strict, _known(subject, naming, preprocess), by, ranks)
    return _printed(measurement.of(subject, compared), model, data, per_class, as_json)


def _on_ray(
    artifact: Artifact, source: ImageSource, answers: str, by: By, address: str | None, part: int
) -> Evaluation:
    from bitwright.scale.classifying import evaluate as evaluate_all

    with shown() as progress:
        result = evaluate_all(artifact, source, answers, labels=by, address=str(address), part=part, progress=progress)
    for remark in result.remarks:
        report(f"warning: {remark}")
    return result


def _printed(result: Evaluation, model: str, data: str, per_class: bool, as_json: bool) -> int:
    """Print a result; returns the exit code."""
    report_bad(result.bad)
    code = exit_code(result)
    if as_json:
        print_json({"model": model, "data": data, **result.to_json()})
        return code
    print_pairs([("model", model), ("data", data), *figures(result)])
    if per_class and not result.per_class:
        report("note: no table per class, as there are no labels")
    elif per_class:
        click.echo()
        rows = [(c.name, c.images, c.correct, f"{100 * c.correct / c.images:.2f}") for c in result.per_class]
        print_table(("class", "images>", "correct>", "percent>"), rows)
    return code


def _open(
    model: str, weights: Path | None, logits: tuple[str, ...] | None, given: dict[str, Any]
) -> "tuple[Artifact | LoadedModel, Preprocess | None]":
    if _is_artifact(model):
        if weights is not None or logits is not None or given:
            raise usage_error("an artifact holds its weights, outputs and preprocessing; leave those options out")
        artifact = load(model)
        tell(artifact)
        return artifact, None
    if "encoder" in given:
        raise usage_error("a float model sees the pixels, whatever the encoder; leave --encoder out")
    loaded = open_model(model, weights, logits)
    return loaded, resolve(loaded, given)


def _known(subject: "Artifact | LoadedModel", naming: Naming, preprocess: Preprocess | None) -> ClassNames | None:
    if isinstance(subject, Artifact) or preprocess is None:
        return naming.given
    return naming.of(subject, preprocess).known


def _is_artifact(model: str) -> bool:
    return model.endswith(".safetensors") or (
        not model.lower().endswith(FLOAT_FILES) and (":" not in model or Path(model).is_file())
    )
