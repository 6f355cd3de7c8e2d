"""`Report`: what the page shows, as plain records. `build` measures it, `render` writes the page."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from bitwright.audit.decision_records import Reliability
from bitwright.audit.records import Audit
from bitwright.gates.verdict import Verdict
from bitwright.records import ModelSummary, PlanSummary

Interval = tuple[float, float]


@dataclass(frozen=True)
class Contender:
    """One model that ran on the images: ours, the float model, or a peer that was asked for.

    Attributes:
        name: for people.
        kind: "integer", "float" or "peer".
        top1, top5: in percent; None without labels.
        top1_interval: what holds the true top-1 with 95 % confidence; None without labels.
        agreement: percent of the images that get the float model's class.
        bytes: of its weights, or its file; None where nobody knows.
        median_ms: of one image, in turns with the others; None where it was not timed.
        is_disturbed: whether something else on the machine disturbed that, so that it says little.
        ratio: of that to the integer model's; None where one of the two was disturbed.
        ratio_interval: what holds the true ratio with 95 % confidence.
    """

    name: str
    kind: str
    top1: float | None
    top1_interval: Interval | None
    top5: float | None
    agreement: float
    bytes: int | None
    median_ms: float | None
    is_disturbed: bool
    ratio: float | None
    ratio_interval: Interval | None


@dataclass(frozen=True)
class ClassRow:
    """One class: its images, how many each model has right, and the drop in points with its interval."""

    name: str
    images: int
    float_right: int
    integer_right: int
    drop: float
    interval: Interval


@dataclass(frozen=True)
class Sample:
    """An image on which the two models differ.

    `kind` is "lost" (only the float model is right), "gained" (only the integer model is) or "moved". Confidences are each
    model's probability of its own class, in percent. `picture` is a data URL of what the models see.
    """

    name: str
    label: str | None
    float_class: str
    float_confidence: float
    integer_class: str
    integer_confidence: float
    kind: str
    picture: str


@dataclass(frozen=True)
class ParetoPoint:
    """A choice of widths that a search found: its cost, and what it was measured to lose where it was verified."""

    cost: float
    predicted_loss: float
    text: str
    drop: float | None
    interval: Interval | None
    is_found: bool
    is_uniform: bool


@dataclass(frozen=True)
class ParetoFront:
    """The Pareto front of a search; costs are in `unit`."""

    where: str
    minimize: str
    unit: str
    max_drop: float
    points: tuple[ParetoPoint, ...]


@dataclass(frozen=True)
class Report:
    """All of the page.

    Attributes:
        artifact: the path of the file.
        model: what the float model was loaded by.
        data: what the images were opened by.
        summary: what is in the artifact.
        preprocess: in words.
        images: how many both models ran on.
        left_out: the images that could not be read, by name and reason.
        is_labelled: whether accuracy could be measured.
        drop: of accuracy, in points; without labels, percent of the images whose class changed.
        drop_interval: what holds the true drop with 95 % confidence.
        lost, gained: images that only the float, only the integer model has right.
        agreement_interval: of the integer model's agreement, in percent.
        contenders: the integer model, the float model, peers.
        mcnemar_p: how likely two models that are equally good differ so much (McNemar's exact test); None without labels.
        reliability: of the float and of the integer model, on these images; None without labels.
        classes: in the order of the logits.
        samples: images on which the two differ, the surest first.
        disagreeing: how many there are in all.
        plan: what the engine ran.
        environment: the machine and the versions, by name.
        signature: what is known of who made the file, in words.
        remarks: sentences that whoever reads the figures has to know.
        verdict: against the gates; None where there were none.
        audit: of layers; None where there was none.
        pareto_front: of a search; None where there was none.
        command: that made the report, as it was typed.
        made: when.
    """

    artifact: str
    model: str
    data: str
    summary: ModelSummary
    preprocess: str
    images: int
    left_out: tuple[tuple[str, str], ...]
    is_labelled: bool
    drop: float
    drop_interval: Interval
    lost: int
    gained: int
    agreement_interval: Interval
    contenders: tuple[Contender, ...]
    mcnemar_p: float | None
    reliability: tuple[Reliability, Reliability] | None
    classes: tuple[ClassRow, ...]
    samples: tuple[Sample, ...]
    disagreeing: int
    plan: PlanSummary
    environment: dict[str, str]
    signature: str
    remarks: tuple[str, ...] = ()
    verdict: Verdict | None = None
    audit: Audit | None = None
    pareto_front: ParetoFront | None = None
    command: str = ""
    made: str = ""

    @property
    def integer(self) -> Contender:
        """The model that the report is about."""
        return self.contenders[0]

    @property
    def float_(self) -> Contender:
        """The float model that it was made of."""
        return self.contenders[1]

    def to_json(self) -> dict[str, Any]:
        """Plain data: all of the page but the pictures."""
        return {
            **asdict(replace(self, audit=None)),
            "summary": self.summary.to_json(),
            "plan": self.plan.to_json(),
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "audit": None if self.audit is None else self.audit.to_json(),
            "samples": [{k: v for k, v in asdict(sample).items() if k != "picture"} for sample in self.samples],
        }
