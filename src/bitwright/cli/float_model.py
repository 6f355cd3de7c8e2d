"""A float model by the name that was given on the command line. torch is imported when the first is opened."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitwright.cli.output import report

if TYPE_CHECKING:
    from bitwright.models import LoadedModel

FLOAT_FILES = (".pt2", ".onnx")
"""How the names of files end that hold a float model and its weights."""


def _names(context: click.Context, option: click.Parameter, given: str | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(name.strip() for name in given.split(","))


logits_option = click.option(
    "--logits",
    metavar="NAME",
    callback=_names,
    help="Which output of MODEL the logits are, where it has several: a key, or a place in a tuple, 0, 1, ... "
    "More names behind it, after commas, are outputs to keep beside them.",
)
"""A command gets it as `logits`: names as `bitwright.capture.outputs` knows them, or None."""


def open_model(
    spec: str, weights: Path | None, logits: tuple[str, ...] | None = None, option: str = "--weights"
) -> "LoadedModel":
    """Load a float model; warn where its weights, which `option` gives, are likely to be random. `logits` names its outputs.

    Raises ModelError, MissingExtraError.
    """
    from bitwright.models import load_model

    loaded = load_model(spec, weights)
    if weights is None and not spec.lower().endswith(FLOAT_FILES):
        random = spec.startswith(("torchvision:", "timm:"))
        found = "are random" if random else "are those that it was made with, perhaps random"
        report(f"warning: no --weights were given, so the weights of {spec} {found}".replace("--weights", option, 1))
    return replace(loaded, output=logits)
