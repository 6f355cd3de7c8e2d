"""Who ran on the images, and how each class fared: rows of a report from what was counted."""

from collections.abc import Mapping

from bitwright.audit.decision_records import Reliability
from bitwright.audit.decisions import reliability
from bitwright.budget.race import Latency
from bitwright.chance import exact_interval
from bitwright.gates.outcomes import Answers, Outcomes
from bitwright.report.record import ClassRow, Contender

NAMES = {"bitwright": "bitwright, integers", "float": "PyTorch, float32"}
"""What the page calls them; a peer has its own name."""


def contenders_of(
    outcomes: Outcomes, sizes: Mapping[str, int | None], latencies: Mapping[str, Latency]
) -> tuple[Contender, ...]:
    """Ours, the float model and the peers, in this order. `sizes` and `latencies` are by name: "bitwright", "float", ..."""
    answers = {"bitwright": outcomes.integer, "float": outcomes.float_, **outcomes.peers}
    kinds = {"bitwright": "integer", "float": "float"}
    ours = latencies.get("bitwright")
    told = {name for name, found in latencies.items() if not (found.is_disturbed or (ours and ours.is_disturbed))}
    return tuple(
        _contender(
            *(NAMES.get(name, name), kinds.get(name, "peer"), outcomes, found, sizes.get(name)),
            *(latencies.get(name), name in told),
        )
        for name, found in answers.items()
    )


def noise_remarks(latencies: Mapping[str, Latency]) -> tuple[str, ...]:
    """Sentences on latencies, by name, that something else on the machine disturbed: whose median is far above the least."""
    remarks = (found.remark(NAMES.get(name, name)) for name, found in latencies.items())
    return tuple(f"{remark}, and no ratio is shown" for remark in remarks if remark is not None)


def _contender(
    name: str,
    kind: str,
    outcomes: Outcomes,
    found: Answers,
    size: int | None,
    latency: Latency | None,
    has_ratio: bool,
) -> Contender:
    right = None if outcomes.labels is None else int((found.classes == outcomes.labels).sum())
    interval = None if right is None else exact_interval(right, len(outcomes))
    return Contender(
        name=name,
        kind=kind,
        top1=None if right is None else 100 * right / len(outcomes),
        top1_interval=None if interval is None else (100 * interval[0], 100 * interval[1]),
        top5=None if found.in_best_five is None else 100 * float(found.in_best_five.mean()),
        agreement=100 * float((found.classes == outcomes.float_.classes).mean()),
        bytes=size,
        median_ms=None if latency is None else latency.median_ms,
        is_disturbed=latency is not None and latency.is_disturbed,
        ratio=latency.ratio if latency is not None and has_ratio else None,
        ratio_interval=latency.ratio_interval if latency is not None and has_ratio else None,
    )


def reliability_of(outcomes: Outcomes) -> tuple[Reliability, Reliability] | None:
    """How far the confidence of the float model, and of the integer model, can be believed; None without labels."""
    labels = outcomes.labels
    if labels is None:
        return None
    float_, integer = (
        reliability(100 * found.confidences, found.classes == labels) for found in (outcomes.float_, outcomes.integer)
    )
    return float_, integer


def class_rows(outcomes: Outcomes) -> tuple[ClassRow, ...]:
    """A row for each class that an image has, by its label, else by the float model's class."""
    of = outcomes.float_.classes if outcomes.labels is None else outcomes.labels
    rows = []
    for k, drop in outcomes.class_drops.items():
        here = of == k
        float_right = int((outcomes.float_.classes[here] == k).sum())
        integer_right = int((outcomes.integer.classes[here] == k).sum())
        rows.append(ClassRow(outcomes.names[k], drop.images, float_right, integer_right, drop.points, drop.interval()))
    return tuple(rows)
