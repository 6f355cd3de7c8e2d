"""`bitwright audit`: what quantization did to a model, layer by layer, what is wrong, and which remedies help."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from bitwright.artifact import Artifact, load
from bitwright.audit.records import PARTS, USUAL_PARTS, expect_parts
from bitwright.cli.audit_tables import print_audit
from bitwright.cli.finite import Finite
from bitwright.cli.float_model import logits_option, open_model
from bitwright.cli.inspect import THREADS
from bitwright.cli.label_options import Naming, label_options
from bitwright.cli.needs import expect_modules, expect_outputs
from bitwright.cli.output import json_option, print_json, report, shown, usage_error
from bitwright.cli.preprocess_line import tell
from bitwright.cli.preprocess_options import Parsed, preprocess_options, resolve
from bitwright.errors import AuditError
from bitwright.files import write_atomically
from bitwright.images.sources import open_source
from bitwright.recipe import Recipe

if TYPE_CHECKING:
    from bitwright.audit.records import Audit
    from bitwright.images.preprocess import Preprocess
    from bitwright.models import LoadedModel

F = TypeVar("F", bound=Callable[..., Any])


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    try:
        expect_parts(names)
    except AuditError as error:
        raise click.BadParameter(str(error)) from error
    return names


def _count(name: str, default: int, help_: str) -> Callable[[F], F]:
    return click.option(name, default=default, show_default=True, metavar="N", type=click.IntRange(min=1), help=help_)


@click.command()
@click.argument("artifact", metavar="ARTIFACT", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The float model that it was made of.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint for MODEL.")
@click.option("--data", required=True, metavar="SRC", help="Images to judge on; labels help.")
@click.option(
    "--calibration", metavar="SRC", help="Images to fit remedies on; else some of --data, which judge nothing."
)
@click.option(
    "--parts",
    default=",".join(USUAL_PARTS),
    show_default=True,
    type=Parsed("PART,...", _parts),
    help=f"What to look at, of {', '.join(PARTS)}.",
)
@_count("--images", 2000, "So many, at most, judge.")
@_count("--calibrate", 512, "So many, at most, are fitted on.")
@_count("--layer-images", 64, "So many, at most, run through each layer.")
@click.option(
    "--seconds",
    default=120.0,
    show_default=True,
    type=Finite(min=0),
    help="No further remedy is begun after this time, no further bit flipped after as long again.",
)
@click.option("--no-timing", is_flag=True, help="Measure no times.")
@click.option("--threads", type=THREADS, help="Of the engine; else all that this process may use.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Draws the images.")
@label_options
@click.option(
    "--apply", "recipe", type=click.Path(path_type=Path), help="Write the best remedies as a recipe, a .toml file."
)
@logits_option
@preprocess_options
@json_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the audit to a file, as JSON.")
def audit(
    artifact: Path,
    model: str,
    weights: Path | None,
    data: str,
    calibration: str | None,
    parts: tuple[str, ...],
    images: int,
    calibrate: int,
    layer_images: int,
    seconds: float,
    no_timing: bool,
    threads: int | None,
    seed: int,
    naming: Naming,
    recipe: Path | None,
    logits: tuple[str, ...] | None,
    as_json: bool,
    output: Path | None,
    given: dict[str, Any],
) -> None:
    """Say what quantization did to a model: to each layer and to its answers, what is wrong, and what would help.

    Every value of ARTIFACT is compared with the float model's, on the same images. Remedies are tried: the float model is
    quantized again with one thing changed, and its integers are measured on images that they were not fitted on.
    """
    expect_modules("torch", *(["tomli_w"] if recipe else []))
    if recipe is not None and ("remedies" not in parts or recipe.suffix != ".toml"):
        raise usage_error("--apply needs the part 'remedies', and a file name that ends in .toml")
    expect_outputs(*(path for path in (recipe, output) if path is not None))
    from bitwright.audit.examine import Effort, examine
    from bitwright.audit.matching import recipe_of

    loaded_artifact = load(artifact)
    tell(loaded_artifact)
    source, other = open_source(data), None if calibration is None else open_source(calibration)
    loaded = open_model(model, weights, logits)
    preprocess = _preprocess(loaded, loaded_artifact, given)
    with shown() as progress:
        found = examine(
            loaded_artifact,
            loaded.float_model,
            source,
            preprocess=preprocess,
            calibration=other,
            labels=naming.by,
            classes=naming.given,
            parts=parts,
            effort=Effort(images, calibrate, layer_images, seconds, not no_timing),
            threads=threads,
            seed=seed,
            named=(str(artifact), model, data),
            progress=progress,
        )
    for remark in found.remarks:
        report(f"warning: {remark}")
    _write(found, recipe_of(loaded_artifact), recipe, output)
    if as_json:
        print_json(found.to_json())
    else:
        print_audit(found)


def _preprocess(loaded: "LoadedModel", artifact: Artifact, given: dict[str, Any]) -> "Preprocess | None":
    """The float model's own; None where nobody knows it, and then the artifact's is taken."""
    if "encoder" in given:
        raise usage_error("a float model sees the pixels, whatever the encoder; leave --encoder out")
    if loaded.preprocess is None and not given:
        report("preprocess: the artifact's, as nothing is known of the model's own")
        return None
    if loaded.preprocess is None:
        loaded = replace(loaded, preprocess=replace(artifact.preprocess, encoder=None), preprocess_from="the artifact")
    return resolve(loaded, given)


def _write(found: "Audit", own: Recipe, recipe: Path | None, output: Path | None) -> None:
    """Write what was asked for; `own` is the artifact's recipe."""
    if recipe is not None:
        best = Recipe.from_json(cast(dict[str, Any], found.recipe))
        write_atomically(recipe, best.to_toml().encode())
        if best == own:
            tried = sum(bool(remedy.rule) for remedy in found.remedies)
            told = f"none of {tried} changes of the recipe helped" if tried else "no change of the recipe was tried"
            report(f"{told}: it is the artifact's own")
        report(f"the recipe is written to {recipe}; quantize the float model with --recipe {recipe}")
    if output is not None:
        found.save(output)
