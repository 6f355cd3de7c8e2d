"""The Pareto front in the file NAME.front.json that `bitwright search` writes."""

from collections import Counter
from pathlib import Path
from typing import Any

from bitwright.audit.plain import read_json
from bitwright.errors import ArtifactError
from bitwright.report.record import ParetoFront, ParetoPoint


def read_pareto_front(path: Path) -> ParetoFront:
    """Read such a file. ArtifactError where it is none."""
    data = read_json(path)
    try:
        in_bytes = data["minimize"] == "bytes"
        unit = 100 / float(data["float_bytes"]) if in_bytes else 1e6
        found = data["found"]["recipe"]
        points = [_point(data["uniform"], unit, is_found=data["uniform"]["recipe"] == found, is_uniform=True)]
        points += [_point(p, unit, is_found=p["recipe"] == found, is_uniform=False) for p in data["front"]]
        label = "bytes of all weights, % of the float model" if in_bytes else "time of all layers with weights, µs"
        return ParetoFront(str(path), str(data["minimize"]), label, float(data["max_drop"]), tuple(points))
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise ArtifactError(
            f"{path}: expected the NAME.front.json that `bitwright search` writes, found something else: {error!r:.200}"
        ) from error


def _point(data: dict[str, Any], unit: float, *, is_found: bool, is_uniform: bool) -> ParetoPoint:
    verified = data["verified"]
    drop = None if verified is None else verified["drop"]
    return ParetoPoint(
        cost=unit * float(data["predicted_cost"]),
        predicted_loss=float(data["predicted_loss"]),
        text=_widths(data["recipe"]),
        drop=None if drop is None else float(drop["points"]),
        interval=None if drop is None else (float(drop["interval"][0]), float(drop["interval"][1])),
        is_found=is_found,
        is_uniform=is_uniform,
    )


def _widths(recipe: dict[str, Any]) -> str:
    """int8, and 3 x int4, 2 x int3"""
    counts = Counter(str(rule["weights"]) for rule in recipe.get("layers", ()) if rule.get("weights"))
    others = ", ".join(f"{n} x {scheme}" for scheme, n in sorted(counts.items(), reverse=True))
    return f"{recipe['weights']}, and {others}" if others else f"{recipe['weights']} everywhere"
