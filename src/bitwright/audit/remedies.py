"""`Trials`: remedies are tried on the integer model: the float model is quantized again with one thing changed, and measured.

What a remedy is said to win is what its integers did on images that it was not fitted on, beside the artifact as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from bitwright.artifact import Artifact
from bitwright.audit.faults import Fault
from bitwright.audit.matching import recipe_of
from bitwright.audit.records import LayerAudit, Outcome, Remedy
from bitwright.audit.subject import Subject
from bitwright.errors import BitwrightError
from bitwright.images.preprocess import Preprocess
from bitwright.progress import SILENT, Progress, Wordless
from bitwright.quantization import quantize
from bitwright.recipe import Recipe, Rule
from bitwright.schemes import SCHEMES

RANGES = ("minmax", "percentile", "octav")
WORTH_POINTS = 1.0
"""A loss of accuracy below that is not told from chance by the usual number of images: agreement judges then."""
WORTH_DB = 0.5
"""What a remedy has to add to be part of the recipe."""


@dataclass(frozen=True)
class Change:
    """Something to try: a recipe that differs from the artifact's in one thing, or the same one once more."""

    kind: str
    text: str
    layer: str | None
    rule: dict[str, Any]
    recipe: Recipe


@dataclass
class Trials:
    """Tries remedies for one subject until the deadline; `skipped` counts those for which there was no time."""

    subject: Subject
    before: Outcome
    deadline: float
    seed: int = 0
    timed: bool = True
    progress: Progress = SILENT
    skipped: int = 0
    made: dict[Recipe, Artifact] = field(default_factory=dict)
    tried: dict[tuple[str, str | None, str], Remedy] = field(default_factory=dict)

    def of(self, fault: Fault, layers: tuple[LayerAudit, ...], preprocess: Preprocess) -> tuple[Remedy, ...]:
        """The remedies for one fault, best first."""
        recipe = recipe_of(self.subject.artifact)
        layer = next((one for one in layers if one.name == fault.layer), None)
        changes = again(fault, recipe) if fault.is_fault and fault.kind != "few_bits" else []
        if layer is not None and not changes:
            changes = list(more_bits(layer, recipe))
        return best_first(self.attempt(change, preprocess) for change in changes)

    def everywhere(self, preprocess: Preprocess) -> tuple[Remedy, ...]:
        """What can be tried for the model as a whole, best first: other ranges, each correction on or off."""
        recipe = recipe_of(self.subject.artifact)
        return best_first(self.attempt(change, preprocess) for change in whole(recipe))

    def attempt(self, change: Change, preprocess: Preprocess) -> Remedy | None:
        """Try a change; None where there is no time, or it cannot be done."""
        key = (change.kind, change.layer, change.text)
        if key in self.tried:
            return self.tried[key]
        if monotonic() > self.deadline:
            self.skipped += 1
            return None
        try:
            artifact = self._quantized(change.recipe, preprocess)
        except BitwrightError as error:
            self.progress.say(f"{change.text}: {error}")
            return None
        remedy = self.remedy(change, artifact)
        self.tried[key] = remedy
        return remedy

    def remedy(self, change: Change, artifact: Artifact) -> Remedy:
        """The record of what a change did."""
        before, after = self.before, self.subject.outcome(artifact, self.timed)
        by_labels = before.top1 is not None and after.top1 is not None
        gain = (after.top1 or 0) - (before.top1 or 0) if by_labels else after.agreement - before.agreement
        return Remedy(
            kind=change.kind,
            text=change.text,
            layer=change.layer,
            rule=change.rule,
            after=after,
            won_back=won_back(before, after, self.subject.float_top1),
            gain_points=gain,
            gain_db=after.db - before.db,
            cost_bytes=after.bytes - before.bytes,
            cost_microseconds=self.subject.slower(artifact) if self.timed else None,
            is_recipe=change.kind not in ("names", "preprocess"),
        )

    def together(self, remedies: tuple[Remedy, ...], preprocess: Preprocess) -> Recipe:
        """The recipe of all remedies that help, which is tried as well; or of the best alone, where that is better."""
        own = recipe = recipe_of(self.subject.artifact)
        worth = [r for r in remedies if r.is_recipe and r.gain_db >= WORTH_DB and (r.won_back or 0) >= 0]
        if not worth:
            return own
        seen: set[str] = set()
        for remedy in worth:
            if remedy.kind in ("range", "correction") and remedy.kind in seen:
                continue  # each of them alone: two may undo one another
            seen.add(remedy.kind)
            recipe = applied(recipe, remedy.rule)
        alone = applied(own, worth[0].rule)
        if recipe == alone:
            return alone
        names = "; ".join(remedy.text for remedy in worth)
        both = self.attempt(Change("recipe", f"all that helped together: {names}", None, {}, recipe), preprocess)
        return alone if both is None or goodness(both) <= goodness(worth[0]) else recipe

    def _quantized(self, recipe: Recipe, preprocess: Preprocess) -> Artifact:
        if recipe not in self.made:
            self.made[recipe] = quantize(
                self.subject.captured,
                self.subject.fit_source,
                preprocess=preprocess,
                recipe=recipe,
                seed=self.seed,
                classes=self.subject.artifact.classes,
                provenance={"audited": self.subject.artifact.digest},
                progress=Wordless(self.progress),
            )
        return self.made[recipe]


def won_back(before: Outcome, after: Outcome, float_top1: float | None) -> float | None:
    """The percentage of a loss that is gone: of accuracy where enough of it was lost, else of agreement."""
    if float_top1 is not None and before.top1 is not None and after.top1 is not None:
        lost = float_top1 - before.top1
        if lost >= WORTH_POINTS:
            return 100 * (after.top1 - before.top1) / lost
    lost = 100 - before.agreement
    return None if lost <= 0 else 100 * (after.agreement - before.agreement) / lost


def goodness(remedy: Remedy) -> tuple[bool, float, float]:
    """What remedies are ranked by: whether the logits came nearer or more answers are right, which only chance does where
    neither holds; what they win back, to a tenth of the loss; then the logits' SQNR."""
    return remedy.gain_db > 0 or remedy.gain_points > 0, round((remedy.won_back or 0) / 10), remedy.gain_db


def best_first(remedies: Iterator[Remedy | None]) -> tuple[Remedy, ...]:
    return tuple(sorted((r for r in remedies if r is not None), key=goodness, reverse=True))


def again(fault: Fault, recipe: Recipe) -> list[Change]:
    """Quantizing once more with the artifact's own recipe: what neither file nor recipe explains goes away."""
    right = " with the right preprocessing" if fault.kind == "preprocess" else ""
    kind = "preprocess" if fault.kind == "preprocess" else "requantize"
    return [Change(kind, f"quantize the float model again{right}, by the recipe of the artifact", None, {}, recipe)]


def more_bits(layer: LayerAudit, recipe: Recipe) -> Iterator[Change]:
    """8 bits for a layer's weights, for what it writes, and for what it reads, where it has fewer."""
    if layer.weight is not None and SCHEMES[layer.weight.scheme].bits < 8:
        yield _ruled("weights", f"8 bits for the weights of {layer.name}", layer.name, {"weights": "int8"}, recipe)
    if layer.scheme is not None and SCHEMES[layer.scheme].bits < 8:
        changed = {"activations": "uint8", **({"inputs": "uint8"} if recipe.inputs else {})}
        yield _ruled("activations", f"8 bits for what {layer.name} writes", layer.name, changed, recipe)


def _ruled(kind: str, text: str, layer: str, change: dict[str, str], recipe: Recipe) -> Change:
    rule = {"match": layer, **change}
    return Change(kind, text, layer, rule, applied(recipe, rule))


def applied(recipe: Recipe, rule: dict[str, Any]) -> Recipe:
    """The recipe with what a remedy changes: a rule for a layer, else fields of the recipe itself."""
    if "match" in rule:
        return replace(recipe, name="audited", layers=(*recipe.layers, Rule(**rule)))
    changed: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list | tuple) else value for key, value in rule.items()
    }
    return replace(recipe, name="audited", **changed) if changed else recipe


def whole(recipe: Recipe) -> Iterator[Change]:
    """Changes of the recipe as a whole, one at a time."""
    for name in recipe.algorithms:
        rest = tuple(other for other in recipe.algorithms if other != name)
        yield _changed("correction", f"without {name}", {"algorithms": rest}, recipe)
    for name in ("equalize", "bias_correct"):
        if name not in recipe.algorithms:
            yield _changed("correction", f"with {name}", {"algorithms": (*recipe.algorithms, name)}, recipe)
    for name in RANGES:
        if name != recipe.range:
            yield _changed("range", f"ranges by {name}", {"range": name}, recipe)


def _changed(kind: str, text: str, rule: dict[str, Any], recipe: Recipe) -> Change:
    return Change(kind, text, None, rule, applied(recipe, rule))
