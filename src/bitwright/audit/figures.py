"""Figures of an audit's records; `Audit.plot_*` make them."""

from typing import TYPE_CHECKING

import numpy as np

from bitwright.audit.decision_records import DecisionAudit, Reliability, Robustness
from bitwright.audit.records import MOST_DB, Audit, LayerAudit
from bitwright.errors import AuditError, did_you_mean
from bitwright.figures import FAINT, FLOAT, INTEGER, WARN, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = {"weights": INTEGER, "rounding": FLOAT, "clipping": WARN, "nothing": FAINT}
"""What makes the error of a layer, and the colour of its bar."""


def layers_figure(audit: Audit) -> "Figure":
    """Layer by layer: the SQNR so far as a line, and as a bar what the greatest error made there leaves, by what makes it."""
    layers = _layers(audit)
    figure, (axes,) = new_figure(max(7.0, 0.32 * len(layers)), 4.8)
    places = np.arange(len(layers))
    for part, colour in PARTS.items():
        mine = [i for i, layer in enumerate(layers) if layer.enters[0] == part and layer.enters[1] < MOST_DB]
        if mine:
            axes.bar(places[mine], [layers[i].enters[1] for i in mine], color=colour, label=f"error made here: {part}")
    known = [min(layer.db, MOST_DB) if layer.db < MOST_DB else np.nan for layer in layers]
    axes.plot(places, known, color="black", marker="o", markersize=3, linewidth=1.2, label="all error so far")
    axes.set_xticks(
        places, [layer.name for layer in layers], rotation=60, ha="right", rotation_mode="anchor", fontsize=8
    )
    axes.set_ylabel("SQNR, dB")
    axes.set_title(f"{audit.artifact}: what each layer leaves, on {audit.layer_images} images")
    axes.legend(fontsize=8)
    return figure


def codes_figure(audit: Audit, name: str) -> "Figure":
    """How often each code of a layer's result, and of its weights, occurs, in percent."""
    layer = _layer(audit, name)
    figure, axes = new_figure(8.0, 3.4, 1, 1 if layer.weight is None else 2)
    what = f"codes, {layer.scheme}" if layer.scheme else "float32, 64 bins"
    _histogram(axes[0], layer.histogram, 0, f"{name}: {what}")
    lo, hi = layer.code_range
    axes[0].set_xlabel(f"codes, which cover {lo:.3g} to {hi:.3g}" if layer.scheme else f"bins of {lo:.3g} to {hi:.3g}")
    if layer.weight is not None:
        from bitwright.schemes import SCHEMES

        least = SCHEMES[layer.weight.scheme].lo
        _histogram(axes[1], layer.weight.histogram, least, f"{name}: weights, {layer.weight.scheme}")
        axes[1].set_xlabel("codes")
    return figure


def reliability_figure(audit: Audit) -> "Figure":
    """Reliability diagrams of both models: how often they are right against how sure they are, and how many images that is."""
    found = _decisions(audit)
    if found.float_reliability is None or found.integer_reliability is None:
        raise AuditError("expected an audit on images with labels, found none: nobody knows which answers are right")
    figure, (axes, counts) = new_figure(9.0, 4.0, 1, 2)
    axes.plot([0, 100], [0, 100], color=FAINT, linestyle="--", label="as sure as right")
    models = (("float", FLOAT, found.float_reliability), ("integers", INTEGER, found.integer_reliability))
    for i, (label, colour, each) in enumerate(models):
        _reliability(axes, label, colour, each)
        bins = each.bins
        width = [(b.hi - b.lo) * 0.42 for b in bins]
        counts.bar(
            [b.lo + (b.hi - b.lo) * (0.28 + 0.44 * i) for b in bins], [b.images for b in bins], width, color=colour
        )
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="sure, %", ylabel="right, %", title="Reliability")
    counts.set(xlim=(0, 100), xlabel="sure, %", ylabel="images", title=f"{found.images:,} images")
    axes.legend(fontsize=8)
    return figure


def classes_figure(audit: Audit, most: int = 30) -> "Figure":
    """The share of its images that each class lost, with the exact interval; the classes that lost most."""
    rows = _decisions(audit).classes[:most]
    if not rows:
        raise AuditError("expected an audit on images with labels, found none: nobody knows which class lost what")
    figure, (axes,) = new_figure(7.0, 1.2 + 0.28 * len(rows))
    places = np.arange(len(rows))[::-1]
    shares = np.array([each.lost_share.percent for each in rows])
    ends = np.array([each.lost_share.interval for each in rows])
    axes.errorbar(shares, places, xerr=np.abs(ends.T - shares), fmt="o", color=INTEGER, capsize=3)
    axes.set_yticks(places, [each.name for each in rows], fontsize=8)
    axes.set(xlabel="of its images, right by the float model alone, %, with 95 %", title="What each class lost")
    return figure


def robustness_figure(audit: Audit) -> "Figure":
    """Both models' accuracy on pictures that were corrupted, and that were attacked."""
    if audit.robustness is None:
        raise AuditError("expected an audit with the part 'robustness', found none; audit with it")
    rows = _changed(audit.robustness)
    figure, (axes,) = new_figure(7.0, 1.4 + 0.24 * len(rows))
    places = np.arange(len(rows))[::-1]
    one, other = ([row[1] for row in rows], [row[2] for row in rows])
    axes.hlines(places, one, other, color=FAINT)
    axes.plot(one, places, "o", color=FLOAT, label="float")
    axes.plot(other, places, "o", color=INTEGER, label="integers")
    axes.set_yticks(places, [row[0] for row in rows], fontsize=8)
    axes.set(xlim=(-2, 102), xlabel="right, %", title="Pictures that something happened to")
    axes.legend(fontsize=8)
    return figure


def _changed(found: Robustness) -> list[tuple[str, float, float]]:
    corrupted = [(c.name, c.float_top1, c.integer_top1) for c in found.corruptions]
    known = [(name, one, other) for name, one, other in corrupted if one is not None and other is not None]
    return [*known, *((a.name, a.float_top1, a.integer_top1) for a in found.attacks)]


def _reliability(axes: "Axes", label: str, colour: str, found: Reliability) -> None:
    bins = [b for b in found.bins if b.confidence is not None and b.accuracy is not None]
    sure, right = [b.confidence or 0.0 for b in bins], [b.accuracy or 0.0 for b in bins]
    axes.plot(sure, right, color=colour, marker="o", markersize=4, label=f"{label}, off by {found.ece:.2f} points")


def _histogram(axes: "Axes", counts: tuple[int, ...], least: int, title: str) -> None:
    shares = 100 * np.array(counts) / max(1, sum(counts))
    axes.bar(np.arange(least, least + len(counts)), shares, width=0.9, color=INTEGER)
    axes.set_ylabel("%")
    axes.set_title(title, fontsize=10)


def _layers(audit: Audit) -> tuple[LayerAudit, ...]:
    if not audit.layers:
        raise AuditError("expected an audit with the part 'layers', found none; audit with it")
    return audit.layers


def _layer(audit: Audit, name: str) -> LayerAudit:
    layers = {layer.name: layer for layer in _layers(audit)}
    if name not in layers:
        known = ", ".join(layers)
        raise AuditError(f"expected a layer of {known}; found {name!r:.100}{did_you_mean(name, layers)}")
    return layers[name]


def _decisions(audit: Audit) -> DecisionAudit:
    if audit.decisions is None:
        raise AuditError("expected an audit with the part 'decisions', found none; audit with it")
    return audit.decisions
