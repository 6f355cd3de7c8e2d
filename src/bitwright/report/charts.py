"""The numbers of the charts, as plain data for the page's script. Names go there as text, never as markup."""

import math
from dataclasses import asdict
from typing import Any

from bitwright.report.record import Report

Plain = dict[str, Any]


def charts_of(report: Report) -> Plain:
    """Everything that is drawn, by the name of its chart."""
    return {
        "contenders": [asdict(c) for c in report.contenders],
        "classes": [asdict(c) for c in report.classes],
        "drop": _drop(report),
        "reliability": _reliability(report),
        **_robustness(report),
        "layers": layer_rows(report),
        "pareto_front": None if report.pareto_front is None else asdict(report.pareto_front),
    }


def layer_rows(report: Report) -> list[Plain]:
    """One row for each layer: what it is, what it costs in the engine, and what the audit says of it."""
    steps = {step.name: step for step in report.plan.steps}
    audited = {} if report.audit is None else {layer.name: layer for layer in report.audit.layers}
    rows = []
    for i, layer in enumerate(report.summary.layers):
        step, found = steps.get(layer.name), audited.get(layer.name)
        row: Plain = {"i": i, **asdict(layer), "shape": " \u00d7 ".join(map(str, layer.shape))}
        row |= {"time_us": step and step.time_us, "kernel": step and step.kernel, "isa": step and step.isa}
        if found is not None:
            made_by, own_db = found.enters
            row |= {"db": found.db, "own_db": own_db, "made_by": made_by}
            row |= {"saturated": found.saturated, "dead_codes": found.dead_codes}
            row["histogram"] = _binned(found.histogram)
            row["weight_histogram"] = None if found.weight is None else _binned(found.weight.histogram)
        rows.append(row)
    return rows


def _reliability(report: Report) -> list[Plain]:
    """The bins of both models that hold images, as one list."""
    if report.reliability is None:
        return []
    kinds = zip(("float", "integer"), report.reliability, strict=True)
    return [{"kind": kind, **asdict(each)} for kind, found in kinds for each in found.bins if each.images]


def _robustness(report: Report) -> Plain:
    """Accuracies on pictures that something happened to; of corruptions only those that there are labels for."""
    found = None if report.audit is None else report.audit.robustness
    if found is None:
        return {"corruptions": [], "attacks": []}
    return {
        "corruptions": [_pair(c.name, c.float_top1, c.integer_top1) for c in found.corruptions if c.p is not None],
        "attacks": [_pair(a.name, a.float_top1, a.integer_top1) for a in found.attacks],
    }


def _pair(name: str, float_: float | None, integer: float | None) -> Plain:
    return {"name": name, "float": float_, "integer": integer}


def _drop(report: Report) -> Plain:
    gates = [] if report.verdict is None else [f.gate for f in report.verdict.findings if f.gate.name == "max_drop"]
    return {
        "points": report.drop,
        "interval": list(report.drop_interval),
        "bound": gates[0].bound if gates else None,
        "labelled": report.is_labelled,
    }


def _binned(counts: tuple[int, ...]) -> list[int]:
    """At most 64 bars: neighbours together."""
    width = max(1, math.ceil(len(counts) / 64))
    return [sum(counts[i : i + width]) for i in range(0, len(counts), width)]
