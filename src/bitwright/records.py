"""Records of what was found: frozen, plain, each with a `to_json`. The commands print them and build none."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Guess:
    """One class of a prediction.

    Attributes:
        index: its position among the logits.
        name: what it is called.
        probability: 0 to 1.
    """

    index: int
    name: str
    probability: float

    @property
    def percent(self) -> float:
        """The probability in percent."""
        return 100 * self.probability


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image, or why it could not say anything.

    Attributes:
        image: the image's path, or its number in the file or list that holds it.
        top: the most probable classes, the best one first; empty where there is an error.
        logits: float32 [classes], as the engine computed them; None where there is an error.
        error: why the image could not be classified; None where it was.
    """

    image: str
    top: tuple[Guess, ...] = ()
    logits: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    error: str | None = None

    @property
    def best(self) -> Guess | None:
        """The most probable class; None where there is an error."""
        return self.top[0] if self.top else None

    def to_json(self) -> dict[str, Any]:
        """The record as plain data, without the logits; probabilities in percent, to four decimals."""
        top = [{"index": g.index, "name": g.name, "percent": round(g.percent, 4)} for g in self.top]
        return {"path": self.image, "error": self.error, "top": top}


@dataclass(frozen=True)
class Measured:
    """The accuracy of an integer model and of the float one, on the same images.

    Percentages are of the images that could be read; None is what could not be measured.

    Attributes:
        data: the images.
        images: how many could be read.
        bad: how many could not.
        top1, top5: of the integer model; top5 of more than five classes alone, which all are among the best five else.
        agreement: how often both say the same.
        float_top1, float_top5: of the float model.
        float_at_chance: whether guessing could have been right as often as the float model.
        labels_by: what labels were taken by: "name", "index" or "order".
        reference: the float model, where it is not the one that the integer model was made of.
    """

    data: str
    images: int
    bad: int
    top1: float | None
    top5: float | None
    agreement: float | None
    float_top1: float | None
    float_top5: float | None
    float_at_chance: bool | None
    labels_by: str | None
    reference: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as plain data; `reference` only where it is said."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("reference", None)}


@dataclass(frozen=True)
class LayerSummary:
    """One layer of an artifact.

    Attributes:
        name: by its module path.
        op: what it applies.
        shape: of its result, for one image.
        weights: the scheme of its weights; None where there are none.
        activations: the scheme of its result; "float32" for logits.
        macs: multiply-adds for one image.
        weight_bytes: of the weights in the file.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    weights: str | None
    activations: str
    macs: int
    weight_bytes: int


@dataclass(frozen=True)
class StepSummary:
    """One step of the native engine's plan: how long it took, and how much of its kernel's peak that is."""

    name: str
    op: str
    kernel: str
    isa: str
    time_us: float
    percent_of_time: float
    macs: int
    bytes: int
    percent_of_peak: float


@dataclass(frozen=True)
class PlanSummary:
    """The native engine's plan for one image."""

    steps: tuple[StepSummary, ...]

    @property
    def total(self) -> StepSummary:
        """All steps as one; its percent of the peak is that of the steps by their time."""
        peak = sum(step.percent_of_peak * step.percent_of_time / 100 for step in self.steps)
        time_us, percent = (sum(getattr(s, key) for s in self.steps) for key in ("time_us", "percent_of_time"))
        macs, moved = (sum(getattr(s, key) for s in self.steps) for key in ("macs", "bytes"))
        return StepSummary("total", "", "", "", time_us, percent, macs, moved, peak)

    def to_json(self) -> list[dict[str, Any]]:
        """The steps as plain data."""
        return [asdict(step) for step in self.steps]


@dataclass(frozen=True)
class ModelSummary:
    """What is in an artifact.

    Attributes:
        bytes: of the file.
        sha256: of the file.
        layers: in the order in which they run.
        outputs: how many logits an image gets.
        classes: their names; None where they have none.
        preprocess: what a picture goes through, as plain data.
        provenance: how the artifact was made.
    """

    bytes: int
    sha256: str
    layers: tuple[LayerSummary, ...]
    outputs: int
    classes: tuple[str, ...] | None
    preprocess: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """How many bytes all weights take in the file."""
        return sum(layer.weight_bytes for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """The record as plain data, with the sums."""
        sums = {"macs": self.macs, "weight_bytes": self.weight_bytes}
        return {"bytes": self.bytes, "sha256": self.sha256, **sums, **asdict(self)}


def correction_words(record: Mapping[str, Any]) -> str:
    """What a correction was found to do, of its record in an artifact's provenance: with it, and without.

    dB are the SQNR of the logits, nats the KL divergence of the classes' probabilities from the float model's.
    """
    before, after = ((float(record[f"{end}_db"]), float(record[f"{end}_kl"])) for end in ("before", "after"))
    if before == after:
        return f"{record['name']} changed nothing"
    what = "kept" if record["kept"] else "undone"
    ends = (f"{db:.1f} dB and {kl:.2g} nats" for db, kl in (after, before))
    return "{} {}: {} with it, {} without".format(record["name"], what, *ends)


NOISY = 3.0
"""A median so many times the least call was disturbed: on a machine of its own it is 1.0 to 1.5 times."""


def noise_remark(who: str, median_ms: float, least_ms: float) -> str | None:
    """The sentence on a time that something else on the machine disturbed; None where it was not."""
    if median_ms <= NOISY * least_ms:
        return None
    return (
        f"latency of {who}: the median is {median_ms:.3g} ms and the least {least_ms:.3g} ms; something else ran on this "
        "machine meanwhile, so the median says little"
    )


@dataclass(frozen=True)
class Timing:
    """How fast the native engine runs an artifact, after its logits were shown to be the reference's, to the bit.

    Attributes:
        isa: the instruction set.
        threads: of the engine.
        batch: images of a call.
        rounds: calls that were timed.
        verified_images: so many random images gave the reference's logits.
        median_ms, least_ms: of the calls.
        images_per_second: by the median.
    """

    isa: str
    threads: int
    batch: int
    rounds: int
    verified_images: int
    median_ms: float
    least_ms: float
    images_per_second: float

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class QuantizationRecord:
    """What quantizing made of a float model.

    Attributes:
        artifact: where it was written to.
        sha256: of the file.
        bytes: of the file.
        float_bytes: of the float model's parameters and buffers.
        layers: how many nodes the integer graph has.
        encoder: what turns pixels into bits; None where nothing does.
        weights, activations: how many layers have each scheme.
        images: how many it was calibrated on.
        bad: the images that could not be read, by name and reason.
        measured: its accuracy; None where it was not measured.
        provenance: how it was made.
    """

    artifact: str
    sha256: str
    bytes: int
    float_bytes: int
    layers: int
    encoder: str | None
    weights: Mapping[str, int]
    activations: Mapping[str, int]
    images: int
    bad: tuple[tuple[str, str], ...]
    measured: Measured | None
    provenance: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        bad = [{"name": name, "reason": reason} for name, reason in self.bad]
        return {**asdict(self), "bad": bad, "measured": self.measured and self.measured.to_json()}


@dataclass(frozen=True)
class CalibrationAlone:
    """What the same recipe makes of the float model without training, on the images that the trained model was measured on.

    Attributes:
        top1: of the model that was only calibrated, in percent.
        gain: how many points more the trained one has.
        p: of McNemar's exact test, that models which are equally good differ so much.
    """

    top1: float
    gain: float
    p: float


@dataclass(frozen=True)
class TrainingRecord:
    """What training made of a float model: as `QuantizationRecord`, with what `provenance` says of the training.

    `calibration_alone` is what the same recipe does without; None where that was not measured.
    """

    artifact: str
    sha256: str
    bytes: int
    training: Mapping[str, Any]
    measured: Measured | None
    calibration_alone: CalibrationAlone | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return {**asdict(self), "measured": self.measured and self.measured.to_json()}
