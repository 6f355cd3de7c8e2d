"""`bitwright compare ARTIFACT MODEL.onnx`: what another runtime makes of an exported model. Imports no torch."""

from pathlib import Path
from typing import Any

import click

from bitwright.artifact import load
from bitwright.cli.needs import expect_modules
from bitwright.cli.output import print_json, print_pairs, print_table, shown
from bitwright.cli.preprocess_line import tell
from bitwright.images.sources import open_source

SHOWN = 20


def compare_onnx(artifact: Path, model: Path, data: str, as_json: bool, **how: Any) -> int:
    """Run both on the images of `data` and print how far they are from each other; `how` are arguments of `beside`."""
    expect_modules("onnx", how["peer"])
    from bitwright.export.beside import beside

    source, opened = open_source(data), load(artifact)
    tell(opened)
    with shown() as progress:
        found = beside(opened, model, source, **how, progress=progress)
    if as_json:
        print_json({"artifact": str(artifact), "model": str(model), "data": data, **found.to_json()})
        return 0
    saturated = found.saturated
    worst = sorted(found.layers, key=lambda layer: -layer.largest)[:SHOWN]
    if worst:
        rows = [(layer.name, f"{layer.differing_percent:.3f}", f"{layer.largest}") for layer in worst]
        print_table(("layer", "codes that differ, %>", "by at most>"), rows)
        click.echo()
    print_pairs(
        [
            ("run by", found.runtime),
            ("artifact run by", f"the engine, {found.isa}"),
            ("threads", "all that this process may use" if found.threads is None else found.threads),
            ("images", f"{found.images:,} of {data}"),
            ("labels changed", f"{found.changed:,}, agreement {found.agreement_percent:.2f} %"),
            ("logits differ", f"by {found.largest_logit_difference:.3g} at most"),
            ("layers", f"{len(found.layers)} compared"),
            ("without VNNI", saturated and f"{saturated.changed:,} labels would change by saturation, computed"),
        ]
    )
    return 0
