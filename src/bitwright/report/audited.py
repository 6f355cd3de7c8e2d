"""What a page shows of an audit: the part of the JSON file of `bitwright audit` that has a place there."""

import os
from dataclasses import dataclass

from bitwright.errors import ArtifactError
from bitwright.report.plain import read_json, record

FORMAT = 1


@dataclass(frozen=True)
class Remedy:
    """Something that was tried on the integer model: what it won back, in percent of the loss, gained and cost."""

    text: str
    won_back: float | None
    gain_points: float
    gain_db: float
    cost_bytes: int
    cost_microseconds: float | None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that costs most, what was tried for it; `layer` is None where it is the whole model."""

    layer: str | None
    text: str
    is_fault: bool
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True)
class Weights:
    """How often each code of a layer's weights occurs."""

    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A layer beside the float model's: SQNR in dB of all up to it and of its own, percentages, and counts of its codes."""

    name: str
    db: float
    own_db: float
    made_by: str
    saturated: float
    dead_codes: float
    histogram: tuple[int, ...]
    weight: Weights | None


@dataclass(frozen=True)
class Audited:
    """The whole; `digest` tells which artifact was audited, `layer_images` on how many images its layers were measured."""

    digest: str
    layer_images: int
    remarks: tuple[str, ...]
    findings: tuple[Finding, ...]
    layers: tuple[Layer, ...]


def read_audit(path: str | os.PathLike[str]) -> Audited:
    """Read such a file. ArtifactError where it is none, or of another format."""
    data, where = read_json(path), os.fspath(path)
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ArtifactError(
            f"{where}: expected the JSON of `bitwright audit`, format {FORMAT}, found format {found!r:.100}; "
            "make it again with this version"
        )
    return record(Audited, data, where)
