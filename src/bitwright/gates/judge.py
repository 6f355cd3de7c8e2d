"""`judge`: each gate against what was measured.

By "interval", the whole 95 % interval has to keep the bound: a gate holds only where the images, or the rounds, are enough to
show it. By "point", the measured value has to, and chance may let a bad model through, about every second time where the true
value is the bound. A gate that could not be measured fails: nothing passes unseen.

All classes keep `max_class_drop` where each class's interval does. That needs no correction for their number: to let a model
through in error, the class that is truly beyond the bound would have to pass, which happens as rarely as for one class alone.
"""

from collections.abc import Callable
from dataclasses import replace

from bitwright.artifact import Artifact
from bitwright.budget.drop import CONFIDENCE
from bitwright.budget.race import Latency
from bitwright.chance import exact_interval
from bitwright.errors import SignatureError
from bitwright.gates.gates import Gate, Gates
from bitwright.gates.outcomes import Outcomes
from bitwright.gates.verdict import Finding, Verdict
from bitwright.signatures import Signature


def judge(
    gates: Gates,
    artifact: Artifact,
    *,
    path: str = "artifact",
    outcomes: Outcomes | None = None,
    latency: Latency | None = None,
    baseline: str | None = None,
    signature: Signature | SignatureError | None = None,
) -> Verdict:
    """Judge an artifact.

    Args:
        gates: the bounds.
        artifact: the integer model.
        path: what it is called in the verdict.
        outcomes: what both models make of the images; None where there were none.
        latency: of the artifact, with its ratio to the baseline's, measured in turns; None where there was none.
        baseline: what the latency was compared with, in words.
        signature: who vouches for the file, or why nobody does; None where no keys are trusted.
    """
    rules: dict[str, Callable[[Gate], Finding]] = {
        "max_drop": lambda gate: _drop(gate, outcomes),
        "min_agreement": lambda gate: _agreement(gate, outcomes),
        "max_class_drop": lambda gate: _class_drop(gate, outcomes),
        "max_bytes": lambda gate: _bytes(gate, len(artifact.data)),
        "max_latency_ratio": lambda gate: _latency(gate, latency, baseline),
        "require_signature": lambda gate: _signature(gate, signature),
    }
    findings = tuple(rules[gate.name](gate) for gate in gates.gates)
    return Verdict(path, artifact.digest, gates.where, findings)


def _drop(gate: Gate, outcomes: Outcomes | None) -> Finding:
    if outcomes is None or outcomes.doubt:
        return _unmeasured(gate, outcomes)
    drop = outcomes.drop
    what = "points lost" if drop.labelled else "% of the float model's classes changed"
    wanted = drop.images_for(abs(gate.bound - drop.points)) if drop.points < gate.bound else None
    return _at_most(gate, drop.points, drop.interval(), f"{what} on {drop.images:,} images", wanted)


def _class_drop(gate: Gate, outcomes: Outcomes | None) -> Finding:
    if outcomes is None or outcomes.doubt:
        return _unmeasured(gate, outcomes)

    def judged(item: tuple[int, object]) -> float:
        drop = outcomes.class_drops[item[0]]
        return drop.interval()[1] if gate.judge == "interval" else drop.points

    k, drop = max(outcomes.class_drops.items(), key=judged)
    wanted = drop.images_for(gate.bound - drop.points) if drop.points < gate.bound else None
    worst = f"class {outcomes.names[k]!r}, the worst of {len(outcomes.class_drops):,}, on its {drop.images:,} images"
    return _at_most(gate, drop.points, drop.interval(), f"points lost by {worst}", wanted)


def _agreement(gate: Gate, outcomes: Outcomes | None) -> Finding:
    if outcomes is None:
        return _unmeasured(gate, outcomes)
    value = 100 * outcomes.agreed / len(outcomes)
    lo, hi = exact_interval(outcomes.agreed, len(outcomes), CONFIDENCE)
    interval = 100 * lo, 100 * hi
    kept = (interval[0] if gate.judge == "interval" else value) >= gate.bound
    differ = len(outcomes) - outcomes.agreed
    text = (
        f"{_figure(value)} % agree, {differ:,} of {len(outcomes):,} images do not, at least {gate.bound:g} % asked for"
    )
    if not kept and value >= gate.bound:
        text += (
            f"; the value keeps the bound, its interval from {_figure(interval[0])} does not: too few images to show it"
        )
    return Finding(gate, kept, value, interval, text)


def _bytes(gate: Gate, found: int) -> Finding:
    return Finding(gate, found <= gate.bound, found, None, f"{found:,} bytes, at most {gate.bound:,.0f} asked for")


def _latency(gate: Gate, latency: Latency | None, baseline: str | None) -> Finding:
    if latency is None:
        return _unmeasured(gate, None)
    what = f"times {baseline or 'the baseline'}'s latency, {latency.median_ms:.4f} ms here"
    found = _at_most(gate, latency.ratio, latency.ratio_interval, what, None)
    remark = latency.remark("this model")
    return found if remark is None else replace(found, reason=f"{found.reason}; {remark}")


def _signature(gate: Gate, signature: Signature | SignatureError | None) -> Finding:
    if signature is None:
        return _unmeasured(gate, None)
    if isinstance(signature, SignatureError):
        return Finding(gate, False, None, None, f"a signature is required: {signature}")
    return Finding(gate, True, None, None, f"signed by the key {signature.key}")


def _at_most(gate: Gate, value: float, interval: tuple[float, float], what: str, wanted: int | None) -> Finding:
    kept = (interval[1] if gate.judge == "interval" else value) <= gate.bound
    text = f"{_figure(value)} {what}, at most {gate.bound:g} asked for"
    if not kept and value <= gate.bound:
        text += f"; the value keeps the bound, its interval up to {_figure(interval[1])} does not"
        text += "" if wanted is None else f": about {wanted:,} images could show it"
    return Finding(gate, kept, value, interval, text)


def _unmeasured(gate: Gate, outcomes: Outcomes | None) -> Finding:
    missing = {
        "images": "no images and no float model to compare with",
        "baseline": "no baseline to compare with",
        "keys": "no keys that are trusted",
    }
    why = missing[gate.kind.needs or ""] if outcomes is None else outcomes.doubt
    return Finding(gate, False, None, None, f"not measured, so not kept: {why}")


def _figure(value: float) -> str:
    return f"{value:.2f}"
