"""`bitwright train`: a float model and labelled images in, an artifact out, by quantization-aware training."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitwright.artifact import load
from bitwright.cli.calibration_alone import calibration_alone
from bitwright.cli.exit_codes import MisuseError, misuse
from bitwright.cli.finite import Finite
from bitwright.cli.float_model import logits_option, open_model
from bitwright.cli.label_options import Naming, label_options, names_taken_from
from bitwright.cli.measure import Measurement, measured_on, measured_rows
from bitwright.cli.needs import expect_modules, expect_outputs, expect_recipe
from bitwright.cli.output import byte_count, json_option, percent, print_json, print_pairs, shown
from bitwright.cli.preprocess_options import origin, preprocess_options, resolve
from bitwright.cli.ranks import of_this_command
from bitwright.cli.shareable import shareable
from bitwright.cli.sweep_options import FOLDER, numbers_to_try, sweep_options, sweep_rows
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import open_source
from bitwright.images.sources.overlap import warn_of_shared
from bitwright.records import TrainingRecord
from bitwright.summary import training_record

if TYPE_CHECKING:
    from bitwright.models import FloatModel


@click.command()
@click.argument("model")
@click.option("--data", required=True, metavar="SRC", help="Labelled images to train on.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint of the float model to start from.")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    default=["w4a4"],
    help="Bits, as in w4a4, or a .toml file; several are stages.",
)
@click.option("--training", metavar="NAME", help="The algorithm, such as lsq; else the recipe says.")
@click.option("--epochs", default=4.0, show_default=True, type=Finite(min=0, min_open=True))
@click.option("--minutes", type=Finite(min=0, min_open=True), help="Stop by then; the schedule follows the clock.")
@click.option("--batch", default=128, show_default=True, type=click.IntRange(min=1))
@click.option("--optimizer", default="sgd", show_default=True, type=click.Choice(("sgd", "adamw")))
@click.option("--lr", default=0.02, show_default=True, type=Finite(min=0, min_open=True))
@click.option(
    "--warmup", default=0.05, show_default=True, type=Finite(0, 1), help="Share of a stage in which lr rises."
)
@click.option("--weight-decay", default=1e-4, show_default=True, type=Finite(min=0))
@click.option(
    "--augment",
    help="Any of crop, flip, randaugment, mixup, cutmix; or none.  [default: crop,flip, where the float model still knows "
    "the images that they make]",
)
@click.option("--label-smoothing", default=0.0, show_default=True, type=Finite(0, 1))
@click.option("--distill", default=0.0, show_default=True, type=Finite(0, 1), help="Share of the teacher in the loss.")
@click.option(
    "--temperature", default=4.0, show_default=True, type=Finite(min=0, min_open=True), help="Of the teacher's logits."
)
@click.option("--features", default=0.0, show_default=True, type=Finite(min=0), help="Weight of the layers' distance.")
@click.option("--ema", default=0.0, show_default=True, type=Finite(0, 1), help="Decay of the averaged weights.")
@click.option(
    "--teacher", metavar="MODEL", help="Distil from this model, not from MODEL itself; it reads the same pixels."
)
@click.option("--teacher-weights", type=click.Path(path_type=Path), help="Its checkpoint.")
@click.option("--freeze-bn", is_flag=True, help="Batch norms keep their statistics.")
@click.option(
    "--recalibrate-bn",
    default=50,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=0),
    help="Batches on which batch norms are averaged in the end.",
)
@click.option("--amp/--no-amp", default=True, help="Compute in bfloat16 where that is exact enough, or in float32.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of PyTorch.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**16 - 1))
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="Begin with what an earlier run learned: the file that it was given as --resume.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Save the run here every two minutes, and at Ctrl-C; go on from here where it exists.",
)
@click.option(
    "--test", metavar="SRC", help="Measure the integer and the float model, or the teacher, on these, and record it."
)
@sweep_options
@logits_option
@label_options
@preprocess_options
@json_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the artifact goes.")
def train(
    model: str,
    logits: tuple[str, ...] | None,
    data: str,
    weights: Path | None,
    recipes: tuple[str, ...],
    training: str | None,
    augment: str | None,
    teacher: str | None,
    teacher_weights: Path | None,
    threads: int | None,
    start: Path | None,
    resume: Path | None,
    test: str | None,
    sweep: tuple[str, ...],
    held_out: str | None,
    ray: str | None,
    as_json: bool,
    output: Path,
    naming: Naming,
    given: dict[str, Any],
    **numbers: Any,
) -> int:
    """Train MODEL quantized and write the integer model to a file. MODEL and SRC are those of `bitwright quantize`.

    What is reported is measured on the integer model, by the engine. The exit code is 1, too, where it is no better than
    guessing on the images of --test; it is written all the same. With --sweep, OUT.trials keeps what was trained, and
    the same command goes on from there.
    """
    expect_modules("torch")
    ranks = of_this_command()
    expect_outputs(output)
    to_try = numbers_to_try(sweep, held_out, ray, resume, ranks)
    changes = {} if training is None else {"training": training}
    for recipe in recipes:
        expect_recipe(recipe, **changes)
    import torch

    from bitwright.training import Options
    from bitwright.training import train as train_model

    if to_try is not None:
        from bitwright.scale.sweep import sweep as train_all

    names = None if augment is None else tuple(filter(None, map(str.strip, augment.split(","))))
    with misuse():
        options = Options(**numbers, augment=() if names == ("none",) else names)
    source = open_source(data)
    tested, choosing = (None if where is None else open_source(where) for where in (test, held_out))
    if tested is not None:
        warn_of_shared(source, tested, "trained on")
        if choosing is not None:
            warn_of_shared(choosing, tested, "what the best training is chosen by")
    loaded = open_model(model, weights, logits)
    preprocess = resolve(loaded, given)
    named = naming.of(loaded, preprocess)
    named.expect_fit(source)
    for others in (tested, choosing):
        named.expect_fit(others, named_by=source)
    known = named.known
    if known is None:
        names_taken_from(source, named.outputs)
    distill = max((to_try or {}).get("distill", (numbers["distill"],)))
    taught_by = None if teacher is None else _teacher(teacher, teacher_weights, preprocess, distill)
    if threads is not None:
        torch.set_num_threads(threads)
    how: dict[str, Any] = {"preprocess": preprocess, "recipe": recipes, "training": training, "options": options}
    how |= {"teacher": taught_by, "start": start, "classes": known, "labels": naming.by}
    swept = None
    with shown() as progress:
        if to_try is None or choosing is None:
            artifact = train_model(loaded.float_model, source, resume=resume, progress=progress, ranks=ranks, **how)
        else:
            how |= {"address": ray, "threads": threads or 1, "progress": progress}
            swept = train_all(loaded.float_model, source, choosing, f"{output}{FOLDER}", to_try, **how)
            artifact = load(str(swept.best.artifact))
    from_where = {"preprocess_from": origin(loaded, given)}
    provenance = {**artifact.provenance, "model": {"spec": shareable(model)}, "data": shareable(data), **from_where}
    if teacher is not None:
        provenance["teacher"] = {"spec": shareable(teacher)}
    artifact = replace(artifact, provenance=provenance)
    measured, code = None, 0
    if tested is not None and test is not None:
        measurement = Measurement(tested, preprocess, classes=known, labels=naming.by, ranks=ranks)
        against = taught_by or loaded.float_model
        artifact, measured, code = measured_on(artifact, against, measurement, test, teacher or model, untrained=True)
    if ranks.rank == 0:
        artifact.save(output)
    alone = None
    if tested is not None and measured is not None and not measured.float_at_chance and ranks.size == 1:
        alone = calibration_alone(
            loaded, artifact, recipes[-1], source, tested, seed=options.seed, classes=known, labels=naming.by
        )
    record = training_record(artifact, output, measured, alone)
    if as_json:
        print_json(record.to_json() if swept is None else {**record.to_json(), "sweep": swept.to_json()})
    else:
        print_pairs([*sweep_rows(swept), *_rows(record)])
    return code


def _teacher(spec: str, weights: Path | None, preprocess: Preprocess, distill: float) -> "FloatModel":
    """The model that teaches; it has to take what the student's pixels are made of."""
    if not distill:
        raise MisuseError(f"--teacher {spec} has no part in the loss: give its share with --distill, such as 0.5")
    loaded = open_model(spec, weights)
    expected = replace(preprocess, encoder=None)
    if loaded.preprocess not in (None, expected):
        raise MisuseError(
            f"the teacher {spec} takes other images than the model: expected {expected}, found {loaded.preprocess}; "
            "choose a teacher of the same preprocessing"
        )
    return loaded.float_model


def _rows(record: TrainingRecord) -> list[tuple[str, object]]:
    training, alone = record.training, record.calibration_alone
    images, batch = training["images"], min(training["options"]["batch"], training["images"])
    steps = f"{training['images_seen'] // batch:,} steps of {batch:,}"
    return [
        ("recipe", " then ".join(training["stages"]) + f", by {training['algorithm']}"),
        ("trained on", f"{images:,} images, in {steps}, {training['minutes']} minutes"),
        *measured_rows(record.measured),
        (
            "calibration alone",
            alone and f"{percent(alone.top1)}; training {alone.gain:+.2f} points, McNemar's p = {alone.p:.2g}",
        ),
        ("artifact", byte_count(record.bytes)),
        ("written to", record.artifact),
        ("sha256", record.sha256),
    ]
