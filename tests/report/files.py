"""Files that other commands write and a report reads, with hostile names in them."""

import json
from pathlib import Path
from typing import Any

from bitwright.artifact import Artifact
from bitwright.budget.drop import Drop
from bitwright.budget.found import Found, Point, SearchRecord
from bitwright.budget.judge import Verified
from bitwright.recipe import Recipe, Rule

REMEDY = {
    "kind": "weights",
    "text": "8 bits for <layer>",
    "won_back": 95.8,
    "gain_points": 1.15,
    "gain_db": 12.75,
    "cost_bytes": 556,
    "cost_microseconds": None,
}


def audit_json(artifact: Artifact) -> dict[str, Any]:
    """Such a document, with more in it than a report shows."""
    layers = [
        {
            "name": name,
            "op": "conv2d",
            "db": 14.5 + i,
            "own_db": 26.25 + i,
            "made_by": "<weights>",
            "saturated": 0.75,
            "dead_codes": 2,
            "histogram": [i, *[1] * 254, 5],
            "weight": {"scheme": "int8", "histogram": [1, 2, 3]} if i > 1 else None,
        }
        for i, name in enumerate(artifact.graph.values)
        if name != "input"
    ]
    finding = {
        "kind": "few_bits",
        "layer": "<layer>",
        "text": "has </script> bits",
        "is_fault": True,
        "remedies": [REMEDY],
    }
    return {
        "format": 1,
        "digest": artifact.digest,
        "seconds": 2.5,
        "layer_images": 64,
        "remarks": ["timed on a <busy> machine"],
        "findings": [finding],
        "layers": layers,
    }


def audit_file(folder: Path, artifact: Artifact, **changes: Any) -> Path:
    """The document as a file; `changes` replace some of it."""
    path = folder / "audit.json"
    path.write_text(json.dumps({**audit_json(artifact), **changes}))
    return path


def front_file(folder: Path, artifact: Artifact) -> Path:
    """The NAME.front.json of a search: 8 bits everywhere, what was found, and a point that was not verified."""
    eight, four = (
        Recipe(),
        Recipe(layers=(Rule("a", weights="int4"), Rule("b", weights="int2"), Rule("c", weights="int4"))),
    )
    least = Verified(eight, Drop(100, 1, 1, True), 1000)
    found = Verified(four, Drop(100, 3, 1, True), 400)
    uniform, unverified = Point(eight, 1000.0, 0.001, least), Point(Recipe(weights="int2"), 300.0, 0.2)
    search = Found(artifact, found, uniform, (Point(four, 400.0, 0.02, found), unverified), "bytes", 0.5, None, ())
    record = SearchRecord("colours:net", "images", search, "m.bw.safetensors", 400, "00", 4000, None)
    path = folder / "m.front.json"
    path.write_text(json.dumps(record.to_json()))
    return path
