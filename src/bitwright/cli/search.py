"""`bitwright search`: the widths that make a model smallest or fastest within a budget of accuracy."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitwright.cli.finite import Finite
from bitwright.cli.float_model import logits_option, open_model
from bitwright.cli.label_options import Naming, force_option, label_options
from bitwright.cli.measure import Measurement, measured_on, measured_rows
from bitwright.cli.measuring_options import bits_option, measuring_options
from bitwright.cli.needs import expect_modules, expect_outputs, expect_recipe
from bitwright.cli.output import (
    byte_count,
    json_option,
    percent,
    print_json,
    print_pairs,
    quiet_libraries,
    report_bad,
    shown,
)
from bitwright.cli.preprocess_options import origin, preprocess_options, resolve
from bitwright.cli.quantize import model_record, with_classes
from bitwright.cli.shareable import shareable
from bitwright.files import write_atomically
from bitwright.images.sources import open_source

if TYPE_CHECKING:
    from bitwright.budget.found import Found, SearchRecord

SUFFIXES = (".safetensors", ".bw")
BESIDE = (".recipe.toml", ".front.json", ".front.svg")


@click.command()
@click.argument("model")
@click.option("--data", required=True, metavar="SRC", help="Images to fit on, and to verify on others of them.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint for MODEL.")
@click.option("--max-drop", default=0.5, show_default=True, metavar="POINTS", type=Finite(0, 100), help="The budget.")
@click.option("--minimize", default="bytes", show_default=True, type=click.Choice(["bytes", "latency"]))
@bits_option
@click.option("--recipe", help="Gives ranges and algorithms, not widths; else mse, equalize, adaround, bias_correct.")
@click.option("--held-out", metavar="SRC", help="Images to verify on; else others of --data.")
@click.option(
    "--verify",
    default=5000,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="So many of them, at most.",
)
@click.option("--test", metavar="SRC", help="Measure what was found on these, and record it.")
@force_option
@logits_option
@label_options
@measuring_options
@preprocess_options
@json_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the artifact goes.")
def search(
    model: str,
    logits: tuple[str, ...] | None,
    data: str,
    weights: Path | None,
    recipe: str | None,
    held_out: str | None,
    test: str | None,
    as_json: bool,
    output: Path,
    naming: Naming,
    given: dict[str, Any],
    **options: Any,
) -> int:
    """Find the smallest or fastest integer model of MODEL that loses at most --max-drop points of accuracy.

    The drop is measured on held-out images that nothing was fitted on: against labels where there are some, else against the
    float model's classes. Beside the artifact NAME.bw.safetensors go NAME.recipe.toml, NAME.front.json and NAME.front.svg.
    """
    expect_modules("torch", "tomli_w", "scipy")
    from bitwright.budget.found import SearchRecord
    from bitwright.budget.picture import picture
    from bitwright.budget.search import RECIPE
    from bitwright.budget.search import search as find

    name = str(output)
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    expect_outputs(output, *(Path(name + suffix) for suffix in BESIDE))
    plan, source = None if recipe is None else expect_recipe(recipe), open_source(data)
    tested = None if test is None else open_source(test)
    loaded = open_model(model, weights, logits)
    preprocess = resolve(loaded, given)
    named = naming.of(loaded, preprocess)
    named.expect_fit(tested, named_by=source)
    known = named.known
    with shown() as progress, quiet_libraries():
        found = find(
            loaded.float_model,
            source,
            preprocess=preprocess,
            recipe=plan or RECIPE,
            held_out=None if held_out is None else open_source(held_out),
            classes=known,
            labels=naming.by,
            provenance={
                "model": model_record(model, weights),
                "data": shareable(data),
                "preprocess_from": origin(loaded, given),
            },
            progress=progress,
            **options,
        )
    report_bad(found.bad)
    artifact = with_classes(found.artifact, known, source)
    measured, code = None, 0
    if tested is not None and test is not None:
        measurement = Measurement(tested, preprocess, classes=known, labels=naming.by)
        artifact, measured, code = measured_on(artifact, loaded.float_model, measurement, test)
    artifact.save(output)
    size = len(artifact.data)
    record = SearchRecord(
        shareable(model), shareable(data), found, str(output), size, artifact.digest, loaded.float_bytes, measured
    )
    write_atomically(Path(f"{name}.recipe.toml"), found.verified.recipe.to_toml().encode())
    write_atomically(Path(f"{name}.front.json"), json.dumps(record.to_json(), indent=2, allow_nan=False).encode())
    write_atomically(Path(f"{name}.front.svg"), picture(found, loaded.float_bytes).encode())
    if as_json:
        print_json(record.to_json())
    else:
        print_pairs(_rows(record, name))
    return code


def _rows(record: "SearchRecord", name: str) -> list[tuple[str, object]]:
    found, share = record.found, percent(100 * record.bytes / record.float_bytes)
    drop = found.verified.drop
    verified = sum(point.verified is not None for point in found.pareto_front)
    eight, in_bytes = found.uniform.verified, found.minimize == "bytes"
    top1 = None if drop.top1 is None else f"{percent(drop.top1)}, float {percent(drop.float_top1)}"
    return [
        ("model", record.model),
        ("minimized", f"{found.minimize}, with a drop of {found.max_drop:g} at most"),
        ("latency", _latency(found)),
        ("held-out top-1", top1),
        ("drop", drop),
        ("against", "labels" if drop.labelled else "the float model's classes"),
        ("front", f"{len(found.pareto_front)} choices, {verified} verified"),
        ("float model", byte_count(record.float_bytes)),
        ("8 bits", f"{byte_count(eight.bytes)} without records" if eight and in_bytes else None),
        ("found", _found(found) if in_bytes else None),
        ("artifact", f"{byte_count(record.bytes)} with names and the record of the search, {share} of the float model"),
        *measured_rows(record.measured),
        ("written to", record.artifact),
        ("beside it", f"{name}.recipe.toml, {name}.front.json, {name}.front.svg"),
        ("sha256", record.sha256),
    ]


def _found(found: "Found") -> str:
    eight = found.uniform.verified
    share = "" if eight is None else f", {found.verified.bytes / eight.bytes:.3f} of 8 bits"
    return f"{byte_count(found.verified.bytes)} without records{share}"


def _latency(found: "Found") -> str | None:
    """Of one image, beside 8 bits everywhere, in turns."""
    if found.latency is None:
        return None
    ours, eight = found.latency
    where = f"{found.threads} {'thread' if found.threads == 1 else 'threads'}"
    if ours is eight:
        return f"{eight.median_ms:.4f} ms on {where}: 8 bits everywhere, as nothing is measurably faster"
    lo, hi = ours.ratio_interval
    return (
        f"{ours.median_ms:.4f} ms on {where}, 8 bits everywhere {eight.median_ms:.4f} ms; ratio {ours.ratio:.3f}, "
        f"95 %: {lo:.3f} to {hi:.3f}"
    )
