"""The guard: what a correction did is measured on the integers and on other images, and undone where it does not help."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.algorithms.correction import CORRECTIONS, Calibration, Correction
from bitwright.algorithms.correction.channels import rescale
from bitwright.algorithms.correction.guard import LEAST_GAIN_DB, MOST_DB, Distance, State, Tries, Verdict, Yardstick
from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, prepare, quantize
from bitwright.recipe import Recipe
from tests.progress import Heard

PREPROCESS = Preprocess(size=8, mean=0.5, std=0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)


def net(classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)).eval()


class Coarser(Correction):
    """Makes every scale of a weight seven times as large."""

    name = "coarser"
    seen: np.ndarray

    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        self.seen = calibration.images[slice(0, len(calibration.images))].numpy()
        for node in prepared.graph.nodes:
            quantizer = prepared.layer(node.name).quantizer
            if quantizer is not None:
                quantizer.scale.mul_(7)


class Louder(Correction):
    """Scales half of the channels in front of a depthwise layer far beyond what they have room for."""

    name = "louder"
    before_ranges = True

    def watches(self, prepared: PreparedModel) -> list[str]:
        return ["0"]

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        rescale(prepared.layer("0"), [prepared.layer("2")], torch.tensor([1.0, 64.0] * 4))


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CORRECTIONS, "_added", {})
    for algorithm in (Coarser(), Louder()):
        CORRECTIONS.add(algorithm.name, algorithm)


def made(*algorithms: str, images: np.ndarray = IMAGES, **options: Any) -> Artifact:
    return quantize(net(), images, preprocess=PREPROCESS, recipe=Recipe(algorithms=algorithms), **options)


def logits(artifact: Artifact) -> np.ndarray:
    return Engine(artifact)(IMAGES)


@pytest.mark.parametrize("name", ["coarser", "louder"])
def test_what_makes_it_worse_is_undone_to_the_bit_and_told(name: str) -> None:
    heard = Heard()
    guarded = made(name, progress=heard)
    np.testing.assert_array_equal(logits(guarded), logits(made()))
    found = guarded.provenance["calibration"]
    (record,) = found["corrections"]
    assert (record["name"], record["kept"]) == (name, False)
    assert record["after_db"] < record["before_db"] - 3
    assert record["after_kl"] > 2 * record["before_kl"]
    assert found["judged_on"] == {"images": 32, "held_out": True}
    (text,) = heard.said
    match = re.fullmatch(
        rf"{name} undone: ([\d.]+) dB and (\S+) nats with it, ([\d.]+) dB and (\S+) nats without", text
    )
    assert match is not None
    assert [float(number) for number in match.groups()] == [
        pytest.approx(record[key], rel=0.05) for key in ("after_db", "after_kl", "before_db", "before_kl")
    ]


@pytest.mark.parametrize("name", ["coarser", "louder"])
def test_without_the_guard_it_stays(name: str) -> None:
    unguarded = made(name, guard=False)
    assert not np.array_equal(logits(unguarded), logits(made()))
    assert "corrections" not in unguarded.provenance["calibration"]


def test_what_comes_after_starts_from_what_was_kept() -> None:
    found = made("louder", "coarser", "bias_correct").provenance["calibration"]["corrections"]
    assert [record["kept"] for record in found[:2]] == [False, False]
    assert len({record["before_db"] for record in found}) == 1
    np.testing.assert_array_equal(logits(made("louder", "coarser", "bias_correct")), logits(made("bias_correct")))


class Times(Correction):
    """Makes the scale of the first layer's weights so many times as large: what was applied can be read off."""

    def __init__(self, name: str, factor: int, *, quick: bool) -> None:
        self.name, self.factor, self.quick = name, factor, quick  # type: ignore[misc]

    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        quantizer = prepared.layer("0").quantizer
        assert quantizer is not None
        quantizer.scale.mul_(self.factor)


@pytest.mark.parametrize(
    ("quick", "db", "kept"),
    [
        (True, {1: 20, 2: 19, 3: 20.5, 6: 24}, ["twice", "thrice"]),  # twice helps only beside thrice
        (True, {1: 20, 2: 21, 3: 24, 6: 23}, ["thrice"]),  # and here it takes away what thrice gains
        (True, {1: 20, 2: 22, 3: 19, 6: 21}, ["twice"]),
        (True, {1: 20, 2: 20, 3: 20, 6: 20}, []),
        (False, {1: 20, 2: 19, 3: 20.5, 6: 24}, ["thrice"]),
        (False, {1: 20, 2: 21, 3: 24, 6: 23}, ["twice", "thrice"]),
    ],
)
def test_the_best_choice_of_quick_corrections_is_kept(
    monkeypatch: pytest.MonkeyPatch, quick: bool, db: dict[int, float], kept: list[str]
) -> None:
    for name, factor in (("twice", 2), ("thrice", 3)):
        CORRECTIONS.add(name, Times(name, factor, quick=quick))
    found, scale, count = judged(monkeypatch, ("twice", "thrice"), db)
    assert [verdict["name"] for verdict in found if verdict["kept"]] == kept
    assert scale == math.prod({"twice": 2, "thrice": 3}[name] for name in kept)
    assert count == (4 if quick else 3)
    assert max(verdict["after_db"] if verdict["kept"] else verdict["before_db"] for verdict in found) == db[scale]


def judged(
    monkeypatch: pytest.MonkeyPatch, algorithms: tuple[str, ...], db: dict[int, float]
) -> tuple[list[dict[str, Any]], int, int]:
    """The verdicts, what the first scale was multiplied by, how often the model was measured; dB of each factor."""
    prepared = prepare(net(), preprocess=PREPROCESS, recipe=Recipe(algorithms=algorithms))
    quantizer = prepared.layer("0").quantizer
    assert quantizer is not None
    seen: list[torch.Tensor] = []

    def distance(_: Yardstick, model: PreparedModel) -> Distance:
        seen.append(quantizer.scale.detach().clone())
        return Distance(0.0, db[round(float((quantizer.scale / seen[0]).mean()))])

    monkeypatch.setattr(Yardstick, "distance", distance)
    found = calibrate(prepared, IMAGES)["corrections"]
    scale = round(float((quantizer.scale / seen[0]).mean()))
    torch.testing.assert_close(quantizer.scale, seen[0] * scale, rtol=0, atol=0)
    return found, scale, len(seen)


@pytest.mark.parametrize(
    ("db", "kept", "measured"),
    [
        ({1: 20, 2: 19, 3: 21, 6: 24}, ["twice", "thrice"], 4),  # what loses alone helps the slow one that follows
        ({1: 20, 2: 19, 3: 24, 6: 21}, ["thrice"], 4),
        ({1: 20, 2: 22, 3: 30, 6: 24}, ["twice", "thrice"], 3),  # what helps is kept: the slow one runs once
        ({1: 20, 2: 22, 3: 19, 6: 19}, ["twice"], 3),
        ({1: 20, 2: 19, 3: 19, 6: 19}, [], 4),
    ],
)
def test_a_slow_correction_is_tried_beside_what_was_undone_before_it(
    monkeypatch: pytest.MonkeyPatch, db: dict[int, float], kept: list[str], measured: int
) -> None:
    CORRECTIONS.add("twice", Times("twice", 2, quick=True))
    CORRECTIONS.add("thrice", Times("thrice", 3, quick=False))
    found, scale, count = judged(monkeypatch, ("twice", "thrice"), db)
    assert [verdict["name"] for verdict in found if verdict["kept"]] == kept
    assert scale == math.prod({"twice": 2, "thrice": 3}[name] for name in kept)
    assert count == measured
    assert max(verdict["after_db"] if verdict["kept"] else verdict["before_db"] for verdict in found) == db[scale]
    for verdict, factor in zip(found, (2, 3), strict=True):  # each by itself, whatever the other one does
        alone = {(db[other], db[other * factor]) for other in (1, 6 // factor)}
        assert (verdict["before_db"], verdict["after_db"]) in alone


def test_what_changed_nothing_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, factor in (("once", 1), ("thrice", 3)):
        CORRECTIONS.add(name, Times(name, factor, quick=True))
    measured: list[float] = []

    def distance(_: Yardstick, model: PreparedModel) -> Distance:
        measured.append(20.0 + len(measured))
        return Distance(0.0, measured[-1])

    monkeypatch.setattr(Yardstick, "distance", distance)
    found = made("once", "thrice").provenance["calibration"]["corrections"]
    assert [verdict["text"] for verdict in found] == ["once: changed nothing", "thrice: 20.0 -> 21.0 dB, KL 0 -> 0"]
    assert measured == [20.0, 21.0]


def test_histograms_are_restored_too() -> None:
    plain, undone = (prepare(net(), preprocess=PREPROCESS, recipe=Recipe(algorithms=a)) for a in ((), ("louder",)))
    for prepared in (plain, undone):
        calibrate(prepared, IMAGES)
    for name in plain.owner.values():
        one, other = plain.quantizer(name), undone.quantizer(name)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.histogram.counts, other.histogram.counts)
        assert (one.histogram.lo, one.histogram.hi) == (other.histogram.lo, other.histogram.hi)


def test_the_images_that_judge_were_not_seen_by_the_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[np.ndarray] = []
    run = Engine.__call__

    def watched(self: Engine, images: np.ndarray) -> np.ndarray:
        judged.append(images)
        return run(self, images)

    monkeypatch.setattr(Engine, "__call__", watched)
    correction = Coarser()
    CORRECTIONS.add("coarser", correction)
    made("coarser")
    fitted, held = ({image.tobytes() for image in images} for images in (correction.seen, np.concatenate(judged)))
    assert len(held) == 32
    assert len(fitted) == 32
    assert not fitted & held


def test_few_images_judge_what_they_were_fitted_on() -> None:
    found = made("bias_correct", images=IMAGES[:5]).provenance["calibration"]
    assert found["judged_on"] == {"images": 5, "held_out": False}


def test_a_verdict_in_words() -> None:
    near, far = Distance(0.0123, 21.46), Distance(0.301, 9.71)
    undone, kept = Verdict("equalize", near, far, kept=False), Verdict("smooth", far, near, kept=True)
    assert undone.text == "equalize: 21.5 -> 9.7 dB, KL 0.012 -> 0.3, undone"
    assert kept.text == "smooth: 9.7 -> 21.5 dB, KL 0.3 -> 0.012"
    assert str(undone) == "equalize undone: 9.7 dB and 0.3 nats with it, 21.5 dB and 0.012 nats without"
    assert str(kept) == "smooth kept: 21.5 dB and 0.012 nats with it, 9.7 dB and 0.3 nats without"
    unchanged = Verdict("smooth", far, far, kept=False)
    assert (unchanged.text, str(unchanged)) == ("smooth: changed nothing", "smooth changed nothing")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Distance(0.05, 19.6), Distance(0.03, 18.2)),  # a class that is never likely is far off
        (Distance(0.0001, 31.3), Distance(0.0003, 32.5)),  # an image that the float model was not certain of
        (Distance(0.05, 19.6), Distance(0.0, MOST_DB)),
    ],
)
def test_classes_and_logits_judge_together(before: Distance, after: Distance) -> None:
    """Either alone is fooled by a few images or classes."""
    assert before.gain_db(after) > LEAST_GAIN_DB
    assert after.gain_db(before) < LEAST_GAIN_DB


@pytest.mark.parametrize("classes", [1, 4])
def test_the_distance_of_the_integers_from_the_float_logits(classes: int) -> None:
    """By its definition in NumPy; of one logit the classes are those of its sigmoid."""
    torch.manual_seed(0)
    prepared = prepare(net(classes), preprocess=PREPROCESS, recipe="w4a4")
    calibrate(prepared, IMAGES)
    wanted = torch.randn(len(IMAGES), classes)
    found = Engine(Artifact(prepared.lower(), PREPROCESS))(IMAGES).astype(np.float64)
    y = wanted.double().numpy()
    db = 10 * np.log10((y**2).sum() / ((y - found) ** 2).sum())
    if classes == 1:
        y, found = (np.concatenate([np.zeros_like(z), z], 1) for z in (y, found))
    p, p_q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (y, found))
    kl = (p * np.log(p / p_q)).sum(1).mean()
    distance = Yardstick(torch.from_numpy(IMAGES), wanted).distance(prepared)  # type: ignore[arg-type]
    np.testing.assert_allclose([distance.kl, distance.db], [kl, db], rtol=1e-6)
    same = Engine(Artifact(prepared.lower(), PREPROCESS))(IMAGES)
    nearest = Yardstick(torch.from_numpy(IMAGES), torch.from_numpy(same)).distance(prepared)  # type: ignore[arg-type]
    assert nearest == Distance(0.0, MOST_DB)


# --- the images that came first are not all images --------------------------------------------------------------------


def depthwise() -> nn.Module:
    """Channels in front of a depthwise layer that read red, green and blue alone."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 12, 1, bias=False)
    model = nn.Sequential(
        *(first, nn.ReLU(), nn.Conv2d(12, 12, 3, groups=12), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6)),
    )
    with torch.no_grad():
        first.weight.copy_(torch.eye(3).repeat(4, 1)[:, :, None, None] * torch.rand(12, 1, 1, 1).add(0.5))
    return model.eval()


def by_colour(count: int) -> np.ndarray:
    """Images [3 * count, ...] sorted by the one colour that they have; in each, the others are nearly black."""
    random = np.random.default_rng(1)
    images = random.integers(0, 2, (3, count, 8, 8, 3), dtype=np.uint8)
    for colour in range(3):
        images[colour, ..., colour] = random.integers(0, 256, (count, 8, 8))
    return images.reshape(-1, 8, 8, 3)


@pytest.mark.parametrize("guard", [True, False])
def test_images_sorted_by_class_do_not_let_equalize_clip(guard: bool) -> None:
    """With the first 32 images taken for all, two thirds of the channels would be scaled up 128 times, and clip."""
    preprocess, model, images = Preprocess(size=8, mean=0.0, std=1.0), depthwise(), by_colour(60)
    with torch.no_grad():
        expected = model(torch.from_numpy(preprocess.normalise(images))).numpy()
    found = {}
    for order in ("sorted", "reversed", "shuffled"):
        given = {"sorted": images, "reversed": images[::-1], "shuffled": np.random.default_rng(2).permutation(images)}
        for algorithms in (("equalize",), ()):
            artifact = quantize(
                model, given[order], preprocess=preprocess, recipe=Recipe(algorithms=algorithms), guard=guard
            )
            error = np.square(Engine(artifact)(images) - expected).sum()
            found[order, algorithms] = 10 * np.log10(np.square(expected).sum() / error)
    assert all(found[order, ("equalize",)] > found[order, ()] - 0.3 for order, _ in found)
    equalized = [found[order, ("equalize",)] for order, algorithms in found if algorithms]
    assert max(equalized) - min(equalized) < 0.1


def test_what_may_be_chance_is_no_gain() -> None:
    """Each correction must be worth it, also beside others; all agree on which were kept."""

    def kept(*gains: tuple[tuple[str, ...], float]) -> tuple[str, ...]:
        prepared = prepare(net(), preprocess=PREPROCESS)
        tries = Tries({(): Distance(0.0, 20.0)}, (), State(prepared))
        for applied, gain in gains:
            tries.add(applied, Distance(0.0, 20.0 + LEAST_GAIN_DB * gain), prepared)
        names = dict.fromkeys(name for applied, _ in gains for name in applied)
        assert {name for name in names if tries.verdict(name).kept} == set(tries.best)
        return tries.best

    assert kept((("a",), 0.9)) == ()
    assert kept((("a",), 1.1)) == ("a",)
    assert kept((("b",), 5.0), (("a",), -1.0), (("a", "b"), 5.9)) == ("b",)
    assert kept((("b",), 5.0), (("a",), -1.0), (("a", "b"), 6.1)) == ("a", "b")
    assert kept((("b",), 0.9), (("a",), 0.9), (("a", "b"), 2.1)) == ("a", "b")
