"""`bitwright quantize`: a float model and some images in, an artifact out."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitwright.algorithms.ranges import RANGES
from bitwright.artifact import Artifact
from bitwright.classes import ClassNames
from bitwright.cli.auto import auto_options, auto_rows, within_budget
from bitwright.cli.finite import Finite
from bitwright.cli.float_model import FLOAT_FILES, logits_option, open_model
from bitwright.cli.label_options import Naming, label_options, names_taken_from
from bitwright.cli.measure import Measurement, measured_on, measured_rows
from bitwright.cli.named import Named
from bitwright.cli.needs import expect_modules, expect_outputs, expect_recipe
from bitwright.cli.output import (
    byte_count,
    digest_of,
    json_option,
    percent,
    print_json,
    print_pairs,
    report_bad,
    shown,
    usage_error,
)
from bitwright.cli.preprocess_options import origin, preprocess_options, resolve
from bitwright.cli.ranks import expect_alone, of_this_command
from bitwright.cli.shareable import shareable
from bitwright.effort import EFFORTS, Effort
from bitwright.images.encoders import in_words
from bitwright.images.sources import BadImage, ImageSource, open_source
from bitwright.progress import Wordless
from bitwright.recipe import Recipe
from bitwright.records import QuantizationRecord, correction_words
from bitwright.summary import quantization_record

if TYPE_CHECKING:
    from bitwright.images.preprocess import Preprocess
    from bitwright.models import LoadedModel

BATCH = 32


@click.command()
@click.argument("model")
@click.option(
    "--data",
    metavar="SRC",
    help="Images to calibrate on; labels are not needed. Without any, batch norms tell what they were like (data-free).",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="A checkpoint: .safetensors, or a .pth or .ckpt of tensors and plain values.",
)
@click.option("--recipe", default="w8a8", show_default=True, help="Bits, as in w4a8, w1a1, wta8, or a .toml file.")
@click.option(
    "--calibrate",
    default=512,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="So many images, at most.",
)
@click.option("--range", "range_", type=Named(RANGES), help="How ranges are chosen; else the recipe says.")
@click.option(
    "--algorithms",
    metavar="NAMES",
    help="Algorithms in place of the recipe's, separated by commas, as in equalize,adaround; or none.",
)
@click.option(
    "--effort",
    type=click.Choice(EFFORTS),
    help="In place of the recipe's algorithms: quick ones only, or best, which learns up to 15 minutes.  [default: normal]",
)
@click.option(
    "--minutes",
    metavar="M",
    type=Finite(min=0, min_open=True),
    help="What reconstruct and finetune_scales may take to learn; 15 with --effort best, else as long as it takes.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Draws the images.")
@click.option(
    "--memory",
    default=2**31,
    show_default=True,
    metavar="BYTES",
    type=click.IntRange(0),
    help="What algorithms compute from the images stays within this; the rest goes to a temporary file.",
)
@click.option("--new-scales", is_flag=True, help="Choose the scales anew where MODEL is a quantized .onnx file.")
@click.option(
    "--float-weights",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write MODEL's own tensors here, too, as the algorithms left them, under its names: a .safetensors file.",
)
@click.option("--test", metavar="SRC", help="Measure the integer and the float model on these, and record it.")
@click.option("--strict", is_flag=True, help="Stop at the first image that cannot be read.")
@auto_options
@logits_option
@label_options
@preprocess_options
@json_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the artifact goes.")
def quantize(
    model: str,
    logits: tuple[str, ...] | None,
    data: str | None,
    weights: Path | None,
    recipe: str,
    calibrate: int,
    range_: str | None,
    algorithms: str | None,
    effort: Effort | None,
    minutes: float | None,
    seed: int,
    memory: int,
    new_scales: bool,
    float_weights: Path | None,
    test: str | None,
    strict: bool,
    as_json: bool,
    output: Path,
    auto: dict[str, Any] | None,
    naming: Naming,
    given: dict[str, Any],
) -> int:
    """Make an integer model of MODEL and write it to a file.

    MODEL is torchvision:NAME, timm:NAME, package.module:factory, a .pt2 or a .onnx file. SRC is a folder of class
    folders, a folder of images, a .csv with path and label, a .npz, an IDX file, or the word digits; slices may follow
    it: data.csv[::5].
    """
    if auto is not None and strict:
        raise usage_error("--auto leaves out images that cannot be read; leave out --strict")
    if auto is not None and float_weights is not None:
        raise usage_error(
            "--auto tries several models; leave out --float-weights, or name the algorithms in place of --auto"
        )
    for name, value in (("effort", effort), ("minutes", minutes)):
        if auto is not None and value is not None:
            raise usage_error(f"--auto chooses the algorithms; leave out --{name}")
    if effort is not None and algorithms is not None:
        raise usage_error("--effort and --algorithms both say which algorithms run; leave one out")
    if data is None and (minutes is not None or effort == "best"):
        raise usage_error(f"{'--minutes' if effort != 'best' else '--effort best'} needs --data")
    expect_modules("torch")
    if auto is not None:
        expect_alone("quantize --auto")
    ranks = of_this_command()
    expect_outputs(output, *([] if float_weights is None else [float_weights]))
    changes: dict[str, Any] = {} if range_ is None else {"range": range_}
    if algorithms is not None:
        changes["algorithms"] = () if algorithms == "none" else tuple(name.strip() for name in algorithms.split(","))
    plan = expect_recipe(recipe, **changes)
    if auto is not None and data is None:
        raise usage_error("--auto needs --data")
    source = None if data is None else open_source(data)
    tested = None if test is None else open_source(test)
    loaded = open_model(model, weights, logits)
    preprocess = resolve(loaded, given)
    named = naming.of(loaded, preprocess)
    named.expect_fit(tested, named_by=source)
    known = named.known
    images = None if source is None else source.sample(min(calibrate, len(source)), seed)
    from_where = {"preprocess_from": origin(loaded, given)}
    provenance = {
        "model": model_record(model, weights),
        "data": None if data is None else shareable(data),
        **from_where,
    }
    if auto is None or source is None:
        artifact, bad = _calibrated(
            loaded,
            images,
            preprocess,
            plan,
            seed,
            memory,
            strict,
            provenance,
            keep=not new_scales,
            effort=effort or "normal",
            minutes=minutes,
            float_weights=float_weights,
            ranks=ranks,
        )
    else:
        common = {"preprocess": preprocess, "recipe": plan, "seed": seed, "memory": memory, "provenance": provenance}
        common |= {"classes": known, "labels": naming.by}
        artifact, bad = within_budget(loaded, source, auto, calibrate=calibrate, **common)
    if source is not None:
        artifact = with_classes(artifact, known, source)
    elif known is not None:
        artifact = replace(artifact, classes=known.names)
    measured, code = None, 0
    if tested is not None and test is not None:
        measurement = Measurement(tested, preprocess, None, strict, known, naming.by, ranks)
        artifact, measured, code = measured_on(artifact, loaded.float_model, measurement, test)
    if ranks.rank == 0:
        artifact.save(output)
    record = quantization_record(artifact, output, loaded.float_bytes, bad, measured)
    if as_json:
        print_json(record.to_json())
    else:
        print_pairs(_rows(record))
    return code


def _calibrated(
    loaded: "LoadedModel",
    images: ImageSource | None,
    preprocess: "Preprocess",
    recipe: Recipe,
    seed: int,
    memory: int,
    strict: bool,
    provenance: dict[str, Any],
    **more: Any,
) -> tuple[Artifact, list[BadImage]]:
    from bitwright.quantization import quantize as quantize_model

    if images is None:
        common: dict[str, Any] = {"preprocess": preprocess, "recipe": recipe, "seed": seed, "provenance": provenance}
        return quantize_model(loaded.float_model, None, **common, **more), []
    batches = images.batches(preprocess, BATCH, strict=strict)
    try:
        with shown() as progress:
            return quantize_model(
                loaded.float_model,
                batches,
                preprocess=preprocess,
                recipe=recipe,
                seed=seed,
                provenance=provenance,
                memory=memory,
                progress=Wordless(progress),  # the table tells what corrections did
                **more,
            ), batches.bad
    finally:
        report_bad(batches.bad)


def with_classes(artifact: Artifact, known: ClassNames | None, source: ImageSource) -> Artifact:
    """The artifact with the names of the model's classes, or, where it has none, those of the source, in its order."""
    if known is not None:
        return replace(artifact, classes=known.names)
    return replace(artifact, classes=names_taken_from(source, artifact.outputs))


def model_record(model: str, weights: Path | None) -> dict[str, Any]:
    file = Path(model) if model.lower().endswith(FLOAT_FILES) else weights
    found = None if file is None else {"file": file.name, "sha256": digest_of(file)}
    return {"spec": shareable(model), "weights": found}


def _rows(record: QuantizationRecord) -> list[tuple[str, object]]:
    provenance = record.provenance
    share = percent(100 * record.bytes / record.float_bytes)
    return [
        ("model", provenance["model"]["spec"]),
        ("recipe", f"{provenance['recipe']['name']}, ranges by {provenance['calibration']['range']}"),
        ("calibrated on", _calibrated_on(record)),
        ("corrections", _corrections(provenance["calibration"])),
        ("bad images", len(record.bad) or None),
        ("layers", record.layers),
        ("encoder", record.encoder and in_words(record.encoder)),
        ("weights", _counts(record.weights)),
        ("activations", _counts(record.activations)),
        ("float model", byte_count(record.float_bytes)),
        ("artifact", f"{byte_count(record.bytes)}, {share} of that"),
        *auto_rows(provenance),
        *measured_rows(record.measured),
        ("written to", record.artifact),
        ("sha256", record.sha256),
    ]


def _calibrated_on(record: QuantizationRecord) -> str:
    provenance = record.provenance
    if provenance["data"] is None:
        data_free = provenance["calibration"].get("data_free", False)
        return "no images: " + ("data-free, by what batch norms tell" if data_free else "the scales are the file's")
    images = "1 image" if record.images == 1 else f"{record.images:,} images"
    return f"{images} of {provenance['data']}, seed {provenance['seed']}"


def _corrections(calibration: Mapping[str, Any]) -> str | None:
    """What each one was measured to do to the SQNR of the logits, and to their KL divergence from the float model's."""
    told = [correction_words(record) for record in calibration.get("corrections", ())]
    if not told:
        return None
    judged = calibration["judged_on"]
    which = f"{judged['images']} held-out images" if judged["held_out"] else f"the {judged['images']} images they saw"
    units = "dB: SQNR of the logits, more is better; nats: KL divergence from the float model's classes, less is better"
    return f"{'; '.join(told)}; measured on {which} ({units})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {scheme}" for scheme, count in counts.items()) or "none"
