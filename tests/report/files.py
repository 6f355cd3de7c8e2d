"""Files that other commands write and a report reads, with hostile names in them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitwright.artifact import Artifact
from bitwright.audit.records import Audit
from bitwright.budget.drop import Drop
from bitwright.budget.found import Found, Point, SearchRecord
from bitwright.budget.judge import Verified
from bitwright.recipe import Recipe, Rule
from tests.audit.sample import AUDIT, REMEDY, WEIGHT


def audit_of(artifact: Artifact) -> Audit:
    """An audit of an artifact, with markup in its texts."""
    (layer, *_), (finding, *_) = AUDIT.layers, AUDIT.findings
    names = [name for name in artifact.graph.values if name != "input"]
    layers = tuple(
        replace(
            layer,
            name=name,
            db=14.5 + i,
            weights_db=15.0 + i,
            saturated=0.75,
            dead_codes=2.0,
            weight=WEIGHT if i > 0 else None,
            histogram=(i, *[1] * 254, 5),
        )
        for i, name in enumerate(names)
    )
    remedy = replace(REMEDY, text="8 bits for <layer>", cost_microseconds=None)
    hostile = replace(finding, layer="<layer>", text="has </script> bits", is_fault=True, remedies=(remedy,))
    remarks = ("timed on a <busy> machine",)
    assert AUDIT.robustness is not None
    assert AUDIT.screen is not None
    attacks = tuple(replace(attack, attack="<pgd>") for attack in AUDIT.robustness.attacks)
    robustness = replace(AUDIT.robustness, attacks=attacks, remark="one <gradient> alone")
    screen = replace(AUDIT.screen, to_class="<ship>", text="it all goes to <ship>")
    return replace(
        AUDIT,
        digest=artifact.digest,
        layers=layers,
        findings=(hostile,),
        remarks=remarks,
        robustness=robustness,
        screen=screen,
    )


def audit_file(folder: Path, artifact: Artifact, **changes: Any) -> Path:
    """The audit as a file; `changes` replace some of it."""
    path = folder / "audit.json"
    path.write_text(json.dumps({**audit_of(artifact).to_json(), **changes}))
    return path


def found_of(artifact: Artifact) -> Found:
    """What a search found: 8 bits everywhere, the choice that keeps the budget, and a point that was not verified."""
    eight, four = (
        Recipe(),
        Recipe(layers=(Rule("a", weights="int4"), Rule("b", weights="int2"), Rule("c", weights="int4"))),
    )
    least = Verified(eight, Drop(100, 1, 1, True), 1000)
    found = Verified(four, Drop(100, 3, 1, True), 400)
    uniform, unverified = Point(eight, 1000.0, 0.001, least), Point(Recipe(weights="int2"), 300.0, 0.2)
    return Found(artifact, found, uniform, (Point(four, 400.0, 0.02, found), unverified), "bytes", 0.5, None, ())


def front_file(folder: Path, artifact: Artifact) -> Path:
    """The NAME.front.json of that search."""
    search = found_of(artifact)
    record = SearchRecord("colours:net", "images", search, "m.bw.safetensors", 400, "00", 4000, None)
    path = folder / "m.front.json"
    path.write_text(json.dumps(record.to_json()))
    return path
