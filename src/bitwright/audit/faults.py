"""`layer_faults` finds what is wrong with layers from what was measured of them, the worst first.

A fault is something that neither the recipe nor a correction explains. Besides, the layers that lose most are named.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from bitwright.audit.records import LayerAudit, WrongConstant
from bitwright.schemes import SCHEMES

CLIPPED_PERCENT = 0.1
"""The percentage of a value's numbers beyond its codes that is too many; fewer may well be worth the finer steps."""
CLIPPED_DB = 25.0
"""Clipping that leaves more than that costs nobody an answer."""
OVER_ROUNDING_DB = 6.0
"""How much more clipping than rounding has to lose before a range is called wrong: the best range loses as much by both."""
SATURATED_POINTS = 1.0
"""How many points more of the codes are the greatest one than of the float model's numbers."""
STANDS_OUT_DB = 6.0
"""How far below the others' median a layer with fewer bits than most has to be."""
WORST = 3
OF_RANGES = ("clipped", "saturated")


@dataclass(frozen=True)
class Fault:
    """What is wrong, where, in words; `is_fault` is False for a layer that only costs most."""

    kind: str
    layer: str | None
    text: str
    is_fault: bool = True


def layer_faults(layers: tuple[LayerAudit, ...], other_pixels: bool = False) -> list[Fault]:
    """At most one for each layer, faults before the rest, and among these first where most of the error enters.

    Every fault is judged by what a layer makes of the float model's values, so that it is never a consequence of another's.
    With `other_pixels` the ranges were chosen on images of another preprocessing: that these do not fit is no fault of theirs.
    """
    if (other := _another_model(layers)) is not None:
        return [other]
    usual = _usual_bits(layers)
    middle = median([layer.enters[1] for layer in layers])
    faults = [(layer.enters[1], fault) for layer in layers if (fault := _fault(layer, layers, usual, middle))]
    faults.sort(key=lambda pair: pair[0])
    if other_pixels:
        faults = [(left, fault) for left, fault in faults if fault.kind not in OF_RANGES]
    named = {fault.layer for _, fault in faults}
    rest = [layer for layer in layers if layer.name not in named and layer.enters[0] != "nothing"]
    rest.sort(key=lambda layer: layer.enters[1])
    return [fault for _, fault in faults] + [_noisy(layer) for layer in rest[:WORST]]


def _fault(layer: LayerAudit, layers: Sequence[LayerAudit], usual: Counter[str], middle: float) -> Fault | None:
    where = "the first layer, " if layer is layers[0] else ""
    for kind, check in CHECKS.items():
        if (text := check(layer)) is not None:
            return Fault(kind, layer.name, f"{where}{layer.name}: {text}")
    return _few_bits(layer, layers, usual, middle)


def _another_model(layers: tuple[LayerAudit, ...]) -> Fault | None:
    """Where most layers have other weights, they were trained or are another model's, and no single layer is to blame."""
    weighted = [layer for layer in layers if layer.weight is not None]
    other = [layer for layer in weighted if layer.weight and layer.weight.beyond > 0.01 * sum(layer.weight.histogram)]
    if len(other) < 3 or 2 * len(other) <= len(weighted):
        return None
    text = (
        f"{len(other)} of {len(weighted)} layers have weights that rounding this float model's does not give: they were "
        "trained further, or the float model has another checkpoint"
    )
    return Fault("model", None, text)


def _damaged(layer: LayerAudit) -> str | None:
    weight = layer.weight
    if weight is None or layer.weights_db is None:
        return None
    total = sum(weight.histogram)
    if weight.beyond:
        return (
            f"{weight.beyond:,} of {total:,} weights are not what rounding the float model's gives (SQNR {weight.db:.1f} dB): "
            "the file is damaged, or they are another model's"
        )
    return None


def _some(channels: tuple[int, ...]) -> str:
    return ", ".join(map(str, channels[:5])) + (", ..." if len(channels) > 5 else "")


def _dead(layer: LayerAudit) -> str | None:
    dead = layer.dead_here
    if not dead:
        return None
    some = _some(dead)
    which = f"channel {some} is dead" if len(dead) == 1 else f"{len(dead)} channels are dead ({some})"
    return f"{which}: nothing that the layer reads reaches them, and it does in the float model"


def _constants(name: str, layer: LayerAudit) -> str | None:
    """What is wrong with the multipliers (`name` begins with m), the biases ("b"), or anything else ("")."""
    texts = [_constant(each) for each in layer.wrong if name == (each.name[0] if each.name[0] in "mb" else "")]
    if not texts:
        return None
    return " and ".join(texts) + (f"; {saturates}" if (saturates := _saturated(layer)) else "")


def _constant(wrong: WrongConstant) -> str:
    what = {"m": "multipliers", "b": "biases"}.get(wrong.name, wrong.name)
    if 0 < len(wrong.channels) < wrong.of:
        what += f" of {len(wrong.channels)} of {wrong.of} channels ({_some(wrong.channels)})"
    told = f"its {what} are not what the float model and the scales ask for: "
    numbers = f"{wrong.found:.4g} and not {wrong.expected:.4g}"
    if wrong.name.startswith("m") and wrong.expected:
        return f"{told}{wrong.found / wrong.expected:.3g} times, {numbers}"
    return f"{told}{numbers}"


def _clipped(layer: LayerAudit) -> str | None:
    if layer.clipping_db is None or layer.rounding_db is None or layer.saturated < CLIPPED_PERCENT:
        return None
    rounding = min(layer.rounding_db, _of_uniform(layer))
    if layer.clipping_db > CLIPPED_DB or layer.clipping_db > rounding - OVER_ROUNDING_DB:
        return None
    lo, hi = layer.code_range
    return (
        f"its range is clipped: {layer.saturated:.1f} % of its numbers are beyond {lo:.4g} to {hi:.4g}, which its codes cover; "
        f"the data has {layer.data_range[0]:.4g} to {layer.data_range[1]:.4g} (clipping leaves {layer.clipping_db:.1f} dB)"
    )


def _of_uniform(layer: LayerAudit) -> float:
    """What rounding would leave were the codes laid over all of the data: 6 dB for each bit, about."""
    bits = SCHEMES[layer.scheme].bits if layer.scheme is not None else 8
    return 6.02 * bits


def _saturated(layer: LayerAudit) -> str | None:
    if layer.at_ends_here - layer.at_ends_float < SATURATED_POINTS:
        return None
    return (
        f"it saturates: {layer.at_ends_here:.1f} % of the codes that it makes of the float model's values are the greatest, "
        f"and {layer.at_ends_float:.1f} % of the float model's own numbers would be"
    )


CHECKS: dict[str, Callable[[LayerAudit], str | None]] = {
    "weights": _damaged,
    "dead_channel": _dead,
    "multiplier": partial(_constants, "m"),
    "bias": partial(_constants, "b"),
    "constant": partial(_constants, ""),
    "clipped": _clipped,
    "saturated": _saturated,
}
"""The kinds of faults of a layer's numbers, causes before what they bring about; each says what is wrong, or None."""


def _few_bits(layer: LayerAudit, layers: Sequence[LayerAudit], usual: Counter[str], middle: float) -> Fault | None:
    """The fault of a layer that, unlike most, has few bits and is much worse for it."""
    made_by, left = layer.enters
    as_bad = sum(other.enters[1] <= middle - STANDS_OUT_DB for other in layers)
    if left > middle - STANDS_OUT_DB or 3 * as_bad > len(layers):
        return None
    of_weights = None if layer.weight is None else layer.weight.scheme
    for part, scheme, what in (("weights", of_weights, "weights"), ("rounding", layer.scheme, "codes")):
        common = usual.most_common(1) if part == "weights" else []
        if scheme is None or part != made_by or (part == "weights" and not common):
            continue
        usually = common[0][0] if common else "uint8"
        if SCHEMES[scheme].bits < SCHEMES[usually].bits:
            text = (
                f"{layer.name}: its {what} have {SCHEMES[scheme].bits:g} bits where most have {SCHEMES[usually].bits:g}, which "
                f"leaves {left:.1f} dB; the layers' median is {middle:.1f}"
            )
            return Fault("few_bits", layer.name, text)
    return None


def _usual_bits(layers: tuple[LayerAudit, ...]) -> Counter[str]:
    return Counter(layer.weight.scheme for layer in layers if layer.weight is not None)


def _noisy(layer: LayerAudit) -> Fault:
    part, left = layer.enters
    made = {
        "weights": "rounding its weights",
        "rounding": "rounding what it writes",
        "clipping": "clipping what it writes",
    }
    jump = "" if layer.jump_db is None or layer.jump_db <= 0 else f"; the SQNR falls by {layer.jump_db:.1f} dB here"
    text = f"{layer.name}: {made[part]} leaves {left:.1f} dB{jump}"
    return Fault("noisy", layer.name, text, is_fault=False)
