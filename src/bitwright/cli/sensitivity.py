"""`bitwright sensitivity`: what each layer costs in accuracy at each width, and what it takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitwright.cli.float_model import logits_option, open_model
from bitwright.cli.measuring_options import bits_option, measuring_options
from bitwright.cli.needs import expect_modules
from bitwright.cli.output import json_option, print_json, print_pairs, print_table, report_bad, shown
from bitwright.cli.preprocess_options import preprocess_options, resolve
from bitwright.images.sources import open_source

if TYPE_CHECKING:
    from bitwright.budget.probe import Found
    from bitwright.budget.sensitivities import Sensitivity
    from bitwright.budget.workers import Jobs


@click.command()
@click.argument("model")
@click.option("--data", required=True, metavar="SRC", help="Images to measure on; labels are not needed.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint for MODEL.")
@click.option("--recipe", default="w8a8", show_default=True, help="Gives ranges and algorithms, not widths.")
@bits_option
@logits_option
@measuring_options
@preprocess_options
@json_option
def sensitivity(
    model: str,
    logits: tuple[str, ...] | None,
    data: str,
    weights: Path | None,
    recipe: str,
    bits: tuple[int, ...],
    calibrate: int,
    seed: int,
    threads: int | None,
    jobs: "Jobs",
    cache: Path | None,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    """Measure each layer of MODEL with its weights, or the codes it writes, at each width, and all else at 8 bits.

    The loss is the growth of the cross-entropy to the float model's probabilities, in thousandths of a nat; the SQNR is of
    the layer's result. Bytes are those of the weights in the file, times those of the layer in the native engine.
    """
    expect_modules("torch")
    from bitwright.budget.held_out import read
    from bitwright.budget.sensitivities import sensitivity as measure

    source = open_source(data)
    loaded = open_model(model, weights, logits)
    preprocess = resolve(loaded, given)
    pixels, bad = read(source.sample(min(calibrate, len(source)), seed), preprocess)
    report_bad(bad)
    with shown() as progress:
        measured = measure(
            loaded.float_model,
            pixels,
            preprocess=preprocess,
            recipe=recipe,
            bits=bits,
            threads=threads,
            jobs=jobs,
            cache=cache,
            progress=progress,
        )
    if as_json:
        print_json({"model": model, "data": data, "bad": len(bad), **measured.to_json()})
        return
    _print(measured)


def _print(measured: "Sensitivity") -> None:
    widths = sorted({found.bits for found in measured.found} - {8}, reverse=True)
    columns = ["layer", "of", *(f"loss at {b}>" for b in widths), *(f"dB at {b}>" for b in widths), "bytes>", "us>"]
    layers: dict[tuple[str, str], dict[int, Found]] = {}
    for found in measured.found:
        layers.setdefault((found.layer, found.kind), {})[found.bits] = found
    print_table(columns, [_row(measured, *key, found, widths) for key, found in layers.items()])
    worst = sorted((f for f in measured.found if f.bits == 4), key=lambda f: -f.loss)[:3]
    click.echo()
    losses = f"{measured.images:,} images; losses in thousandths of a nat, on top of {1e3 * measured.base_loss:.2f} at 8 bits"
    hurts = ", ".join(f"{f.layer} ({f.kind}, {1e3 * f.loss:.1f})" for f in worst)
    print_pairs([("measured on", losses), ("hurts most at 4", hurts or None)])


def _row(
    measured: "Sensitivity", layer: str, kind: str, found: "dict[int, Found]", widths: list[int]
) -> tuple[object, ...]:
    losses = [f"{1e3 * found[b].loss:.2f}" for b in widths]
    noises = ["" if (sqnr := found[b].sqnr) is None else f"{sqnr:.1f}" for b in widths]
    if kind != "weights":
        return (layer, kind, *losses, *noises, "", "")
    costs = {c.weights: c for c in measured.costs if c.layer == layer and c.activations == 8}
    times = {f"{1e6 * c.seconds:.1f}": None for c in costs.values() if c.seconds is not None}
    return (layer, kind, *losses, *noises, f"{costs[8].bytes:,}", " to ".join(times))
