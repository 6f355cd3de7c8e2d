"""`Trials`: remedies are tried on the integer model: the float model is quantized again with one thing changed, and measured.

What a remedy is said to win is what its integers did on images that it was not fitted on, beside the float model quantized
again by the artifact's own recipe: every remedy quantizes again, and what that alone wins back is not its own.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic

from bitwright.artifact import Artifact
from bitwright.audit.changes import DAMAGE, RECIPES, Change, again, applied, for_fault, whole
from bitwright.audit.faults import Fault
from bitwright.audit.matching import recipe_of
from bitwright.audit.records import Finding, LayerAudit, Outcome, Remedy
from bitwright.audit.subject import Subject
from bitwright.errors import BitwrightError
from bitwright.images.preprocess import Preprocess
from bitwright.progress import SILENT, Progress, Wordless
from bitwright.quantization import quantize
from bitwright.recipe import Recipe

WORTH_POINTS = 1.0
"""A loss of accuracy below that is not told from chance by the usual number of images: agreement judges then."""
GONE = 80.0
"""Percent of the loss that a remedy has to win back so that nothing more is tried for a fault."""
STALE, STALE_DB = 50.0, 1.0
"""Percent of the loss, and dB, from which on quantizing again is no matter of which images it is fitted on."""
NAMED = 2
"""Of more remedies than that only so many are named in a line."""
WORTH_DB = 0.5
"""What a remedy has to add to be part of the recipe."""


@dataclass
class Trials:
    """Tries remedies for one subject until the deadline; `skipped` are those for which there was no time, `unfit` those that do
    not suit this model, `taken` the seconds that each of the others took; `baseline` is what quantizing again gives, as soon as
    it is known."""

    subject: Subject
    before: Outcome
    deadline: float
    seed: int = 0
    timed: bool = True
    progress: Progress = SILENT
    skipped: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    made: dict[Recipe, Artifact] = field(default_factory=dict)
    tried: dict[tuple[str, str | None, str], Remedy] = field(default_factory=dict)
    baseline: Outcome | None = None

    def of_each(
        self, faults: Sequence[Fault], layers: tuple[LayerAudit, ...], preprocess: Preprocess, is_sound: bool = True
    ) -> list[tuple[Remedy, ...]]:
        """The remedies for each of some faults, best first.

        Quantizing again comes first: it is what all others are measured against. Then what is most likely to help is tried
        for all faults; then what may help the model as a whole, and each layer, unless quantizing again leaves a fault.
        `is_sound` is False where one is known already.
        """
        recipe, graph = recipe_of(self.subject.artifact), self.subject.artifact.graph
        named = {layer.name: layer for layer in layers}
        control = self.control(is_preprocess=any(fault.kind == "preprocess" for fault in faults), preprocess=preprocess)
        changes = [for_fault(fault, named.get(fault.layer or ""), graph, recipe) for fault in faults]
        found = [[self.attempt(change, preprocess) for change in first] for first, _ in changes]
        has_fault = not is_sound or any(fault.is_fault for fault in faults)
        wrong = [fault.kind for fault in faults if fault.is_fault]
        is_damage = bool(wrong) and all(kind in DAMAGE for kind in wrong)  # no new file has that
        is_gone = control is not None and (is_damage or (control.won_back or 0) >= GONE)
        if is_gone or not has_fault:
            made_by = min(layers, key=lambda layer: layer.enters[1]).enters[0] if layers else "weights"
            self.everywhere(preprocess, made_by)
        for fault, remedies, (_, rest) in zip(faults, found, changes, strict=True):
            is_file = fault.is_fault and fault.kind not in RECIPES
            if is_file:
                remedies.insert(0, control)
            if not (is_file and is_gone) and (is_gone or fault.is_fault == has_fault):
                remedies += [self.attempt(change, preprocess) for change in rest]
        return [best_first(iter(remedies)) for remedies in found]

    def control(self, is_preprocess: bool, preprocess: Preprocess) -> Remedy | None:
        """What quantizing once more with the artifact's own recipe does: what neither file nor recipe explains goes away.

        Every other remedy quantizes again as well, so that only what it does beyond this is its own.
        """
        found = self.attempt(again(recipe_of(self.subject.artifact), is_preprocess), preprocess)
        if found is not None:
            self.baseline = found.after
        return found

    def stale(self, faults: Sequence[Fault]) -> Finding | None:
        """The fault of an artifact without any other: quantizing again by its own recipe is much nearer to the float model."""
        control = next((r for r in self.tried.values() if r.kind == "requantize"), None)
        if control is None or any(fault.is_fault for fault in faults):
            return None
        if control.gain_db < STALE_DB or (control.won_back or 0) < STALE:
            return None
        text = (
            f"quantizing again by the artifact's own recipe brings the logits {control.gain_db:.1f} dB nearer to the float "
            "model: the artifact was calibrated on too few or other images, or something changed it"
        )
        return Finding("stale", None, text, True, (control,))

    def everywhere(self, preprocess: Preprocess, made_by: str) -> tuple[Remedy, ...]:
        """What can be tried for the model as a whole, best first: each other range, each correction on or off."""
        recipe = recipe_of(self.subject.artifact)
        return best_first(self.attempt(change, preprocess) for change in whole(recipe, made_by))

    def attempt(self, change: Change, preprocess: Preprocess) -> Remedy | None:
        """Try a change; None where there is no time, or it cannot be done."""
        key = (change.kind, change.layer, change.text)
        if key in self.tried:
            return self.tried[key]
        begin = monotonic()
        if begin > self.deadline:
            self.skipped.append(change.text)
            return None
        try:
            artifact = self._quantized(change.recipe, preprocess)
        except BitwrightError as error:
            self.progress.say(f"{change.text}: {error}")
            self.unfit.append(change.text)
            return None
        remedy = self.remedy(change, artifact)
        self.tried[key] = remedy
        self.taken.append(monotonic() - begin)
        return remedy

    def remedy(self, change: Change, artifact: Artifact) -> Remedy:
        """The record of what a change did."""
        before, after = self.baseline or self.before, self.subject.outcome(artifact, self.timed)
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
        worth = compatible(r for r in remedies if r.is_recipe and r.rule and r.gain_db >= WORTH_DB and r.helps)
        if not worth:
            return own
        for remedy in worth:
            recipe = applied(recipe, remedy.rule)
        alone = applied(own, worth[0].rule)
        if recipe == alone:
            return alone
        text = f"all that helped together: {some([remedy.text for remedy in worth])}"
        both = self.attempt(Change("recipe", text, None, {}, recipe), preprocess)
        return alone if both is None or not both.helps or goodness(both) <= goodness(worth[0]) else recipe

    def remarks(self, seconds: float) -> list[str]:
        """What to say of the remedies that were not tried, of so many seconds."""
        late, unfit = self.late(seconds), some(self.unfit)
        found = [] if late is None else [late]
        return [*found, f"remedies that do not suit this model were left out: {unfit}"] if unfit else found

    def late(self, seconds: float) -> str | None:
        """What to say of the remedies for which there was no time, of so many seconds; None where all were tried."""
        if not self.skipped:
            return None
        told = (
            f"{len(self.skipped)} remedies were not tried, and {len(self.tried)} were, as the {seconds:g} seconds were over: "
            f"{some(self.skipped)}"
        )
        if not self.taken:
            return f"{told}; give more --seconds"  # nobody knows how long one takes
        enough = 10 * math.ceil((seconds + len(self.skipped) * max(self.taken)) / 10)
        return f"{told}; --seconds {enough} should be enough for all"

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


def some(texts: Sequence[str]) -> str:
    """The first of some texts, and how many there are in all: a line."""
    return ", ".join(texts) if len(texts) <= NAMED else f"{', '.join(texts[:NAMED])}, ... ({len(texts)} in all)"


def compatible(remedies: Iterable[Remedy]) -> list[Remedy]:
    """Those that can be had together, of remedies best first: of several ranges for one layer, or lists of corrections, one."""
    found, seen = list[Remedy](), set[tuple[str, str | None]]()
    for remedy in remedies:
        key = remedy.kind, remedy.layer
        if remedy.kind not in ("range", "correction") or key not in seen:
            found.append(remedy)
            seen.add(key)
    return found


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
