"""`Change`: one thing in a recipe that may help a layer, or the model as a whole; `remedies.Trials` tries them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from glob import escape
from typing import Any

from bitwright.algorithms.correction import CORRECTIONS
from bitwright.algorithms.ranges import RANGES
from bitwright.audit.faults import Fault
from bitwright.audit.records import LayerAudit
from bitwright.graph import Graph
from bitwright.ops import OPS
from bitwright.recipe import Recipe, Rule
from bitwright.schemes import SCHEMES

DAMAGE = ("weights", "dead_channel", "multiplier", "bias", "constant")
"""Faults of the file, for which no recipe is to blame."""
RECIPES = ("few_bits",)
"""Faults that quantizing again by the same recipe does not mend."""
WIDEST = 8
"""Bits: no scheme of the file, and no kernel, has codes of more."""


@dataclass(frozen=True)
class Change:
    """Something to try: a recipe that differs from the artifact's in one thing, or the same one once more.

    `rule` is what it changes, as plain data of `Recipe.to_json`: one rule for a layer (it has `match`), several (`layers`), or
    fields of the recipe itself.
    """

    kind: str
    text: str
    layer: str | None
    rule: dict[str, Any]
    recipe: Recipe


def for_fault(
    fault: Fault, layer: LayerAudit | None, graph: Graph, recipe: Recipe
) -> tuple[list[Change], list[Change]]:
    """What to try for a fault besides quantizing again: first what is most likely to help, then the rest."""
    if layer is None or fault.kind in DAMAGE:
        return [], []  # where the file is damaged, no recipe is to blame
    likely = [*more_bits(layer, recipe), *wide_residual(layer, graph, recipe)]
    rest = [*other_ranges(layer, recipe), *without_correction(layer, recipe)]
    return ([], rest) if fault.is_fault and fault.kind not in RECIPES else (likely, rest)


def again(recipe: Recipe, is_preprocess: bool = False) -> Change:
    """Quantizing once more with the artifact's own recipe: what neither file nor recipe explains goes away."""
    right = " with the right preprocessing" if is_preprocess else ""
    kind = "preprocess" if is_preprocess else "requantize"
    return Change(kind, f"quantize the float model again{right}, by the recipe of the artifact", None, {}, recipe)


def more_bits(layer: LayerAudit, recipe: Recipe) -> Iterator[Change]:
    """8 bits for a layer's weights, for what it writes, and for what it reads, where it has fewer."""
    if layer.weight is not None and SCHEMES[layer.weight.scheme].bits < WIDEST:
        yield _ruled("weights", f"8 bits for the weights of {layer.name}", layer.name, {"weights": "int8"}, recipe)
    if layer.scheme is not None and SCHEMES[layer.scheme].bits < WIDEST:
        changed = {"activations": "uint8", **({"inputs": "uint8"} if recipe.inputs else {})}
        yield _ruled("activations", f"8 bits for what {layer.name} writes", layer.name, changed, recipe)


def wide_residual(layer: LayerAudit, graph: Graph, recipe: Recipe) -> Iterator[Change]:
    """8 bits along the residual path that a layer writes to, where it has fewer; what multiplies still reads the fewer."""
    stream = residual_stream(graph, layer.name)
    narrow = [name for name in stream if _bits(graph, name) < WIDEST]
    if len(stream) < 2 or not narrow:
        return
    rules: list[dict[str, Any]] = [{"match": escape(name), "activations": "uint8"} for name in narrow]
    for node in graph.nodes:
        for i, name in enumerate(node.inputs):
            type_ = graph.values[name].type
            reads = OPS[node.op].weighted and OPS[node.op].role(i) == "codes" and name in narrow
            if reads and type_ is not None and recipe.inputs_of(node.name) is None:
                rules.append({"match": escape(node.name), "inputs": type_.scheme})
    rule = {"layers": rules}
    text = f"8 bits for the residual path of {layer.name}, which {len(narrow)} layers write"
    yield Change("residual", text, layer.name, rule, applied(recipe, rule))


def residual_stream(graph: Graph, name: str) -> list[str]:
    """The values that are added to one another, directly or by others, beginning with one; it alone where it is never added."""
    joined = [{node.name, *found} for node in graph.nodes if (found := _added(graph, node.name))]
    stream = {name}
    while grown := [group for group in joined if group & stream and not group <= stream]:
        stream = stream.union(*grown)
    return [node.name for node in graph.nodes if node.name in stream]


def _added(graph: Graph, name: str) -> list[str]:
    node = graph[name]
    op = OPS[node.op]
    if getattr(op, "sums", False):
        return list(node.inputs)
    return [value for i, value in enumerate(node.inputs) if op.role(i) == "residual"]


def _bits(graph: Graph, name: str) -> float:
    type_ = graph.values[name].type
    return WIDEST if type_ is None else type_.codes.bits


def other_ranges(layer: LayerAudit, recipe: Recipe) -> Iterator[Change]:
    """The layer's ranges by each other algorithm: first what clips nothing where clipping loses most, last elsewhere."""
    for name in _ranges(clips=layer.enters[0] == "clipping"):
        if name != (recipe.range_of(layer.name) or recipe.range):
            yield _ruled("range", f"ranges of {layer.name} by {name}", layer.name, {"range": name}, recipe)


def without_correction(layer: LayerAudit, recipe: Recipe) -> Iterator[Change]:
    """Each correction of the recipe left out at one layer, of those that change a layer by itself."""
    if layer.weight is None:
        return
    for name in recipe.algorithms:
        if not CORRECTIONS[name].before_ranges and name not in recipe.without(layer.name):
            yield _ruled("correction", f"no {name} for {layer.name}", layer.name, {"without": [name]}, recipe)


def _ranges(clips: bool) -> list[str]:
    """All of them: first what clips nothing, where clipping loses most, and last where it does not."""
    return sorted(RANGES, key=lambda name: (name == "minmax") != clips)


def whole(recipe: Recipe, made_by: str = "weights") -> Iterator[Change]:
    """Changes of the recipe as a whole, one at a time, what is most likely to help first.

    `made_by` says of what most of the error is made: where it is rounding weights, first what rounds them otherwise, then the
    other corrections, and ranges; else ranges first. Corrections that the recipe has are left out last: they were chosen.
    """
    others = [name for name in CORRECTIONS if name not in recipe.algorithms]
    others.sort(key=lambda name: CORRECTIONS[name].rounds != (made_by == "weights"))
    added = [change for name in others if (change := _with(name, recipe)) is not None]
    ranges = [
        _changed("range", f"ranges by {name}", {"range": name}, recipe)
        for name in _ranges(clips=made_by == "clipping")
        if name != recipe.range
    ]
    yield from (*added, *ranges) if made_by == "weights" else (*ranges, *added)
    for name in recipe.algorithms:
        rest = tuple(other for other in recipe.algorithms if other != name)
        if not any(name in rule.without for rule in recipe.rules):
            yield _changed("correction", f"without {name}", {"algorithms": rest}, recipe)


def _with(name: str, recipe: Recipe) -> Change | None:
    """The recipe with one more correction, in the place that the table gives it, or instead of the one that rounds, too."""
    gone = next((other for other in recipe.algorithms if CORRECTIONS[name].rounds and CORRECTIONS[other].rounds), None)
    if gone is not None and any(gone in rule.without for rule in recipe.rules):
        return None
    order, kept = list(CORRECTIONS), [other for other in recipe.algorithms if other != gone]
    place = next((i for i, other in enumerate(kept) if order.index(other) > order.index(name)), len(kept))
    instead = f" in place of {gone}" if gone is not None else ""
    return _changed("correction", f"with {name}{instead}", {"algorithms": (*kept[:place], name, *kept[place:])}, recipe)


def applied(recipe: Recipe, rule: dict[str, Any]) -> Recipe:
    """The recipe with what a remedy changes: rules for layers, else fields of the recipe itself."""
    rules = [rule] if "match" in rule else rule.get("layers", [])
    if rules:
        return replace(recipe, name="audited", layers=(*recipe.layers, *(Rule(**each) for each in rules)))
    changed: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list | tuple) else value for key, value in rule.items()
    }
    return replace(recipe, name="audited", **changed) if changed else recipe


def _ruled(kind: str, text: str, layer: str, change: dict[str, Any], recipe: Recipe) -> Change:
    rule = {"match": escape(layer), **change}
    return Change(kind, text, layer, rule, applied(recipe, rule))


def _changed(kind: str, text: str, rule: dict[str, Any], recipe: Recipe) -> Change:
    return Change(kind, text, None, rule, applied(recipe, rule))
