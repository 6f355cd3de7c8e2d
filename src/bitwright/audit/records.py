"""Records of an audit: frozen, plain, each with its unit in the name or the docstring. They need no torch.

`Audit.save` and `Audit.read` are the two ways between a record and the file that `bitwright audit -o` writes.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bitwright.audit.bit_flip_records import BitFlips
from bitwright.audit.decision_records import DecisionAudit, Robustness, Screen
from bitwright.audit.plain import from_plain, read_json
from bitwright.errors import ArtifactError, AuditError, did_you_mean
from bitwright.files import write_atomically
from bitwright.notebook import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 1
PARTS = ("layers", "remedies", "decisions", "robustness", "screen", "bit_flips")
"""What an audit can look at. Inputs are always looked at."""
USUAL_PARTS = ("layers", "remedies", "decisions")
MOST_DB = 200.0
"""Stands for any SQNR that is higher: that of two equal signals is infinite."""
Bounds = tuple[float, float]


def expect_parts(names: Iterable[str]) -> None:
    """Raise AuditError unless each of these is a part."""
    for name in names:
        if name not in PARTS:
            known = ", ".join(PARTS)
            raise AuditError(f"expected parts of an audit among {known}; found {name!r}{did_you_mean(name, PARTS)}")


@dataclass(frozen=True)
class Outcome:
    """How good an integer model is: what it was measured to do, and to cost.

    `top1`, `agreement` in percent; `kl` of the classes' probabilities from the float model's, in nats; `db` the SQNR of the
    logits; `bytes` of the file without the record of how it was made; `microseconds` of one image, the median of several,
    None where they were not measured.
    """

    images: int
    top1: float | None
    agreement: float
    kl: float
    db: float
    bytes: int
    microseconds: float | None


@dataclass(frozen=True)
class Remedy:
    """Something that was tried on the integer model, and what it did: beside the artifact as it is where it is of kind "names",
    "preprocess" or "requantize", which quantizes again by the same recipe; the others beside that, which is part of each.

    Attributes:
        kind: "names", "preprocess", "requantize", "weights", "activations", "residual", "range", "correction" or
            "recipe" (several at once).
        text: what was done, in words.
        layer: where; None for the whole model.
        rule: what it changes in the recipe, as plain data of `Recipe.to_json`: one rule of a layer (with `match`), several
            (`layers`), or fields of the recipe; empty where the recipe stays.
        after: what was measured then.
        won_back: the part of the loss that it wins back, in percent: of accuracy where there are labels and a loss to see,
            else of agreement. Negative where it does harm.
        gain_points: what it adds to accuracy, or to agreement where there are no labels.
        gain_db: what it adds to the SQNR of the logits.
        cost_bytes: what it adds to the model, the record of how it was made left out.
        cost_microseconds: what it adds to one image's time; None where that was not measured, or is not told from none.
        is_recipe: whether quantizing with a recipe has this effect, so that `--apply` can write it.
    """

    kind: str
    text: str
    layer: str | None
    rule: dict[str, Any]
    after: Outcome
    won_back: float | None
    gain_points: float
    gain_db: float
    cost_bytes: int
    cost_microseconds: float | None
    is_recipe: bool

    @property
    def helps(self) -> bool:
        """Whether it is one: something became better by it and nothing worse, in the digits that are shown."""
        gains = round(self.won_back or 0), round(self.gain_points, 2), round(self.gain_db, 1)
        return min(gains) >= 0 and max(gains) > 0


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that costs most, with the remedies that were tried for it, best first.

    `kind` is "names", "preprocess", "model", "weights", "dead_channel", "multiplier", "bias", "constant", "clipped",
    "saturated", "few_bits", "stale" or "noisy"; `layer` is None where it is of the whole model. `is_fault` tells what ought
    not to be from what the recipe asked for.
    """

    kind: str
    layer: str | None
    text: str
    is_fault: bool
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True)
class WeightAudit:
    """A layer's weights beside the float model's, folded and scaled as this layer has them.

    Attributes:
        scheme: of the codes.
        bytes: packed, in the file.
        float_range: the least and the greatest float weight.
        code_range: what the codes can stand for, over all channels.
        db: SQNR of the codes' weights.
        used: percentage of the scheme's codes that occur.
        at_ends: percentage of weights at the scheme's least or greatest code.
        off_nearest: percentage of weights that are not rounded to the nearest code.
        beyond: how many are further off than any correction explains: a damaged file, or other weights.
        histogram: how often each code occurs, from the least one on.
    """

    scheme: str
    bytes: int
    float_range: Bounds
    code_range: Bounds
    db: float
    used: float
    at_ends: float
    off_nearest: float
    beyond: int
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class WrongConstant:
    """Numbers of a layer that its float parameters and the scales of what it reads and writes do not ask for.

    Attributes:
        name: of the tensor or attribute in the artifact, such as "m", the multipliers, or "b", the biases.
        channels: where it is wrong; empty where it has no channels.
        of: how many numbers it has.
        found, expected: the one that is furthest off.
    """

    name: str
    channels: tuple[int, ...]
    of: int
    found: float
    expected: float


@dataclass(frozen=True)
class LayerAudit:
    """One value of the integer graph, beside the float model's on the same images.

    Attributes:
        name: of the node, which is the module path of the layer.
        op: what computes it.
        origin: the source line that it comes from; empty where nobody knows.
        shape: of the value, per image.
        scheme: of the codes that it writes; None where it is float32.
        db: SQNR of the value, with all that happened before it.
        cosine: of the two, as vectors.
        own_db: SQNR where the inputs are the float model's, rounded to the codes that the layer reads.
        jump_db: how much lower `db` is than that of its worst input; None where it reads the image.
        made_by: the greatest part of its own error: "weights", "inputs", "rounding", "clipping" or "nothing".
        weights_db: SQNR with float inputs and outputs, by the rounded weights alone; None where there are none.
        inputs_db: with float weights and outputs, by the rounded inputs alone; None where it reads the image.
        rounding_db: by rounding the result to codes alone; None where it is float32.
        clipping_db: by clipping the result to what the codes cover alone; None where it is float32.
        saturated: percentage of the float numbers beyond what the codes cover.
        at_ends: percentage of the integer model's codes that are the greatest of the scheme.
        at_ends_float: percentage that would be, were each float number rounded to its code.
        at_ends_here: percentage that this layer's own weights make of the float model's inputs, so that nothing is inherited.
        dead_codes: percentage of the codes that never occur.
        dead_channels: channels that never change in the integer model while they do in the float one.
        dead_here: channels that this layer's own weights or multipliers keep still, whatever it reads.
        data_range: the least and the greatest number of the float model.
        code_range: what the codes cover.
        histogram: how often each code occurs, in the order of the codes; of float32, of 64 equal bins of `data_range`.
        wrong: its multipliers, biases, bounds and tables that are not what they ought to be.
        weight: its weights, where it has any.
        macs: multiply-adds of one image.
        microseconds: of one image in the engine; None where it has no step of its own there, or nothing was timed.
        kernel: what runs it, and the instruction set; None likewise.
    """

    name: str
    op: str
    origin: str
    shape: tuple[int, ...]
    scheme: str | None
    db: float
    cosine: float
    own_db: float
    jump_db: float | None
    made_by: str
    weights_db: float | None
    inputs_db: float | None
    rounding_db: float | None
    clipping_db: float | None
    saturated: float
    at_ends: float
    at_ends_float: float
    at_ends_here: float
    dead_codes: float
    dead_channels: tuple[int, ...]
    dead_here: tuple[int, ...]
    data_range: Bounds
    code_range: Bounds
    histogram: tuple[int, ...]
    wrong: tuple[WrongConstant, ...]
    weight: WeightAudit | None
    macs: int
    microseconds: float | None
    kernel: str | None

    @property
    def enters(self) -> tuple[str, float]:
        """The greatest part of the error that enters the model here: its name, and the SQNR that it leaves.

        What the inputs bring is left out: it entered where they were made.
        """
        parts = {"weights": self.weights_db, "rounding": self.rounding_db, "clipping": self.clipping_db}
        known = {name: db for name, db in parts.items() if db is not None and db < MOST_DB}
        return min(known.items(), key=lambda part: part[1]) if known else ("nothing", MOST_DB)


@dataclass(frozen=True)
class Audit:
    """All that was found. Parts that were not asked for are None or empty.

    Attributes:
        artifact: the path, or a name.
        digest: SHA-256 of the artifact.
        model: what the float model was loaded by.
        data: what the images were opened by.
        images: how many the decisions were measured on, and how many the layers.
        layer_images: how many the layers were measured on.
        float_top1: the float model's accuracy on them, in percent; None without labels.
        before: the artifact as it is.
        findings: what is wrong, or costs most, first.
        layers: in the order in which they run.
        remedies: all that were tried, best first.
        recipe: that of the best remedies together, as plain data; None where nothing was tried.
        decisions, robustness, screen: the other parts.
        bit_flips: which flips of single bits of the weights hurt most.
        remarks: sentences that whoever reads the figures has to know.
        seconds: how long it took.

    The methods `plot_...` need the extra `plot`, and raise AuditError where the part that they show was not asked for.
    """

    artifact: str
    digest: str
    model: str
    data: str
    images: int
    layer_images: int
    float_top1: float | None
    before: Outcome
    findings: tuple[Finding, ...]
    layers: tuple[LayerAudit, ...]
    remedies: tuple[Remedy, ...]
    recipe: dict[str, Any] | None
    decisions: DecisionAudit | None
    robustness: Robustness | None
    screen: Screen | None
    remarks: tuple[str, ...]
    seconds: float
    bit_flips: BitFlips | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows: how good the model is, what is wrong or costs most, and the best remedy for each."""
        before = self.before
        top1 = None if before.top1 is None else f"{before.top1:.2f} %, float {self.float_top1:.2f} %"
        rows: list[tuple[str, object]] = [
            ("model", self.model),
            ("images", f"{self.images:,} of {self.data}"),
            ("top-1", top1),
            ("agreement", f"{before.agreement:.2f} %"),
            ("logits", f"SQNR {before.db:.1f} dB"),
            ("size", f"{before.bytes:,} bytes"),
        ]
        for i, finding in enumerate(self.findings, 1):
            rows.append((f"{i}. {'fault' if finding.is_fault else 'costs most'}", finding.text))
            for remedy in [remedy for remedy in finding.remedies if remedy.helps][:1]:
                won = "" if remedy.won_back is None else f", wins back {remedy.won_back:.0f} %"
                rows.append(
                    ("remedy", f"{remedy.text}: {remedy.gain_points:+.2f} points{won}, {remedy.cost_bytes:+,} bytes")
                )
        return html_table(f"audit of {self.artifact}", rows)

    def plot_layers(self) -> "Figure":
        """A matplotlib figure: the SQNR layer by layer, and what the greatest error made in each leaves."""
        from bitwright.audit.figures import layers_figure

        return layers_figure(self)

    def plot_codes(self, layer: str) -> "Figure":
        """A matplotlib figure: how often each code of a layer's result, and of its weights, occurs."""
        from bitwright.audit.figures import codes_figure

        return codes_figure(self, layer)

    def plot_reliability(self) -> "Figure":
        """A matplotlib figure: how often both models are right against how sure they are."""
        from bitwright.audit.figures import reliability_figure

        return reliability_figure(self)

    def plot_classes(self) -> "Figure":
        """A matplotlib figure: what each class lost, with its exact interval."""
        from bitwright.audit.figures import classes_figure

        return classes_figure(self)

    def plot_robustness(self) -> "Figure":
        """A matplotlib figure: both models' accuracy on corrupted and on attacked pictures."""
        from bitwright.audit.figures import robustness_figure

        return robustness_figure(self)

    def to_json(self) -> dict[str, Any]:
        """The record as plain data, with the number of its format."""
        return {"format": FORMAT, **asdict(self)}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file as JSON, at once or not at all; ArtifactError where that cannot be done."""
        write_atomically(path, json.dumps(self.to_json(), indent=1, allow_nan=False).encode())

    @classmethod
    def from_json(cls, data: Any, where: str = "audit") -> "Audit":
        """Read plain data, strictly; ArtifactError says what is wrong with it."""
        found = data.get("format") if isinstance(data, dict) else None
        if found != FORMAT:
            raise ArtifactError(
                f"{where}: expected an audit of format {FORMAT}, found {found!r:.100}; make it again with this version"
            )
        return from_plain(cls, {key: value for key, value in data.items() if key != "format"}, where)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Audit":
        """The audit in a file; ArtifactError where there is none."""
        return cls.from_json(read_json(path), os.fspath(path))
