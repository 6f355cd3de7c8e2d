"""Records of what became of a model's decisions. They need no torch; `records.Audit` holds them."""

from dataclasses import dataclass

Interval = tuple[float, float]
"""Ends in percent, or in points, of what holds the true figure with 95 % confidence."""


@dataclass(frozen=True)
class Share:
    """How many of some images, in percent, with the exact binomial interval of Clopper and Pearson 1934."""

    count: int
    images: int
    percent: float
    interval: Interval


@dataclass(frozen=True)
class Flip:
    """One image that the two models take for different classes, or see very differently.

    `label` is None where nobody knows. Confidences are each model's probability, in percent, of the class that it chose;
    `divergence` is KL(float || integer) in nats.
    """

    image: str
    label: str | None
    float_class: str
    integer_class: str
    float_confidence: float
    integer_confidence: float
    divergence: float
    kind: str
    """"lost": only the float model is right; "gained": only the integer one; "moved": neither is, or nobody knows; "kept"."""


@dataclass(frozen=True)
class ClassDamage:
    """What happened to the images of one class: `lost` of them only the float model has right, `gained` only the integer one.

    `drop` is in points, with the interval of the share lost; `p` is McNemar's for this class alone.
    """

    name: str
    images: int
    float_right: int
    integer_right: int
    lost: int
    gained: int
    drop: float
    lost_share: Share
    p: float


@dataclass(frozen=True)
class Bin:
    """Images whose confidence lies in [lo, hi) percent; both means in percent, None where there are no images."""

    lo: float
    hi: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Reliability:
    """How far a model's confidence can be believed: expected calibration error in points, and the bins of the diagram."""

    ece: float
    confidence: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class MarginShift:
    """How the margin (best logit less the second, of the float model's best class) moved, in logits.

    `quantiles` are the shifts at 5, 25, 50, 75 and 95 percent; `eroded` the percentage of images whose margin shrank by more
    than half.
    """

    float_median: float
    integer_median: float
    quantiles: tuple[float, ...]
    eroded: float


@dataclass(frozen=True)
class DecisionAudit:
    """What quantization did to the answers. Accuracies are None where there are no labels."""

    images: int
    agreement: Share
    float_top1: Share | None
    integer_top1: Share | None
    drop: float | None
    drop_interval: Interval | None
    lost: int
    gained: int
    moved: int
    mcnemar_p: float | None
    classes: tuple[ClassDamage, ...]
    float_reliability: Reliability | None
    integer_reliability: Reliability | None
    margin: MarginShift
    flips: tuple[Flip, ...]
    """The flips of the highest confidence first, up to a limit."""
    disagreeing: tuple[Flip, ...]
    """The images on which the two differ most, by divergence."""


@dataclass(frozen=True)
class Corrupted:
    """Both models on images that something was done to. Accuracies in percent; None without labels."""

    corruption: str
    strength: int
    setting: str
    images: int
    float_top1: float | None
    integer_top1: float | None
    agreement: float
    p: float | None
    """McNemar's, of the two models on these images."""

    @property
    def name(self) -> str:
        """What a chart calls it: "blur, sigma 1"."""
        return f"{self.corruption}, {self.setting}"


@dataclass(frozen=True)
class Attacked:
    """Both models on images that an attack changed by at most `epsilon` of 255 in each pixel.

    `through` says whose gradient it followed: "float" (transferred to the integer model) or "prepared" (straight-through
    estimates through the prepared model, transferred to its integers). Accuracies are of the images' labels, or of the
    float model's classes where there are none.
    """

    attack: str
    through: str
    epsilon: float
    images: int
    float_top1: float
    integer_top1: float

    @property
    def name(self) -> str:
        """What a chart calls it: "2/255 pgd, float", and "2/255 worst" of all of them."""
        through = "" if self.attack == "worst" else f", {self.through}"
        return f"{self.epsilon:g}/255 {self.attack}{through}"


@dataclass(frozen=True)
class Robustness:
    """What corruptions and attacks do to both models. `remark` says how far the attacks can be trusted."""

    corruptions: tuple[Corrupted, ...]
    attacks: tuple[Attacked, ...]
    remark: str | None


@dataclass(frozen=True)
class OffNearest:
    """A layer whose weights are not rounded to the nearest code: how many, and how many by more than any correction does."""

    layer: str
    percent: float
    beyond: int
    weights: int


@dataclass(frozen=True)
class Screen:
    """Whether anything appears only after rounding. `suspicious` where one of the signs is more than chance or corrections.

    `to_class` and `from_class` are where disagreement is concentrated, with p values of exact tests (Bonferroni over the
    classes); `patch` where a small patch makes the integer model alone give one class.
    """

    suspicious: bool
    to_class: str | None
    to_class_p: float
    from_class: str | None
    from_class_p: float
    patch: str | None
    patch_rate: float
    patch_float_rate: float
    off_nearest: tuple[OffNearest, ...]
    text: str
