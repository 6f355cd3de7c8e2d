"""Turns sensitivities into a problem for `programme.py`, and its choices into recipes."""

import glob
from collections import Counter
from dataclasses import replace
from typing import Literal

from bitwright.budget.programme import Choice, Problem
from bitwright.budget.sensitivities import Sensitivity
from bitwright.ops import source
from bitwright.prepared import PreparedModel
from bitwright.recipe import Recipe, Rule

Aim = Literal["bytes", "latency"]


def problem(prepared: PreparedModel, measured: Sensitivity, aim: Aim) -> Problem:
    """What to minimise. Codes keep their 8 bits where that saves nothing; losses never shrink with the width."""
    costs = {(c.layer, c.weights, c.activations): c for c in measured.costs}
    cost = {key: c.bytes if aim == "bytes" else (c.seconds or 0.0) for key, c in costs.items()}
    codes = aim == "latency" and codes_matter(measured)
    reads = {layer: _read_by(prepared, layer) if codes else None for layer, _, _ in cost}
    kept = {key: value for key, value in cost.items() if key[2] == 8 or reads[key[0]] is not None}
    losses = {kind: _losses(measured, kind) for kind in ("weights", "activations")}
    return Problem(reads, losses["weights"], losses["activations"] if codes else {}, kept)


def codes_matter(measured: Sensitivity) -> bool:
    """Whether any layer is faster where it reads narrower codes."""
    at_eight = {(c.layer, c.weights): c.seconds for c in measured.costs if c.activations == 8}
    return any((c.seconds or 0.0) < (at_eight[c.layer, c.weights] or 0.0) for c in measured.costs)


def recipe_of(choice: Choice, base: Recipe, name: str = "searched") -> Recipe:
    """The recipe with these widths: the most frequent ones by default, a rule for each other layer."""
    weights = Counter(choice.weights.values()).most_common(1)[0][0]
    codes = Counter(choice.codes.values()).most_common(1)[0][0] if choice.codes else 8
    rules = []
    for layer in dict.fromkeys([*choice.weights, *choice.codes]):
        w, a = choice.weights.get(layer, weights), choice.codes.get(layer, codes)
        if (w, a) != (weights, codes):
            wide = Rule(glob.escape(layer), f"int{w}" if w != weights else None, f"uint{a}" if a != codes else None)
            rules.append(wide)
    plain = replace(base, name=name, first=Rule(), last=Rule(), layers=tuple(rules))
    return replace(plain, weights=f"int{weights}", activations=f"uint{codes}")


def _read_by(prepared: PreparedModel, layer: str) -> str | None:
    value = source(prepared.graph[layer])
    return None if value in prepared.graph.inputs else prepared.ruled_by[prepared.owner[value]]


def _losses(measured: Sensitivity, kind: str) -> dict[tuple[str, int], float]:
    losses: dict[tuple[str, int], float] = {}
    for found in sorted((f for f in measured.found if f.kind == kind), key=lambda f: -f.bits):
        wider = [loss for (layer, _), loss in losses.items() if layer == found.layer]
        losses[found.layer, found.bits] = max(0.0, found.loss, *wider)
    return losses
