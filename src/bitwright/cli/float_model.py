"""A float model by the name that was given on the command line. torch is imported when the first is opened."""

from pathlib import Path
from typing import TYPE_CHECKING

from bitwright.cli.output import report

if TYPE_CHECKING:
    from bitwright.models import LoadedModel


def open_model(spec: str, weights: Path | None) -> "LoadedModel":
    """Load a float model; warn where its weights are likely to be random. Raises ModelError, MissingExtraError."""
    from bitwright.models import load_model

    loaded = load_model(spec, weights)
    if weights is None and not spec.endswith(".pt2"):
        random = spec.startswith(("torchvision:", "timm:"))
        found = "are random" if random else "are those that it was made with, perhaps random"
        report(f"warning: no --weights were given, so the weights of {spec} {found}")
    return loaded
