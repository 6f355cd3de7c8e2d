"""Evaluation: every figure against a naive computation, and the images and models that it cannot measure."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import bitwright
from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.errors import BitwrightError, ImageError, LabelError, ModelError, PreprocessError, SourceError
from bitwright.evaluation import Evaluation, evaluate, float_predictor
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource, open_source
from bitwright.images.sources.readers import ArrayReader
from bitwright.quantization import quantize
from bitwright.recipe import Recipe
from tests.networks import pictures
from tests.progress import Heard

PREPROCESS = Preprocess(size=8, mean=0.5, std=0.25)
IMAGES = pictures(PREPROCESS, 150)
CLASSES = tuple("abcdefg")


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 7)).eval()


MODEL = net()
LABELS = np.random.default_rng(1).integers(0, 6, len(IMAGES))
with torch.no_grad():
    FLOAT = MODEL(torch.from_numpy(PREPROCESS.normalise(IMAGES))).numpy()
LABELS[::2] = FLOAT.argmax(axis=1)[::2] % 6


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    """Without corrections, which would make it agree everywhere."""
    recipe = replace(Recipe.parse("w2a2"), algorithms=())
    return quantize(MODEL, IMAGES[:20], preprocess=PREPROCESS, recipe=recipe, classes=CLASSES)


def source(labelled: bool = True, classes: tuple[str, ...] | None = CLASSES) -> ImageSource:
    return ImageSource(ArrayReader(IMAGES, "set"), "set", LABELS if labelled else None, classes)


def naive(logits: np.ndarray, labels: np.ndarray) -> dict[str, object]:
    """Every figure, image by image. Of equal logits the first counts as the greatest."""
    top1 = top5 = 0
    confusion: dict[tuple[int, int], int] = {}
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda k: (-row[k], k))
        top1 += order[0] == label
        top5 += label in order[:5]
        confusion[label, order[0]] = confusion.get((label, order[0]), 0) + 1
    return {
        "top1": 100 * top1 / len(labels),
        "top5": 100 * top5 / len(labels),
        "confusion": tuple((*pair, confusion[pair]) for pair in sorted(confusion)),
        "per_class": [
            (CLASSES[k], int((labels == k).sum()), confusion.get((k, k), 0)) for k in sorted(set(labels.tolist()))
        ],
    }


def figures(found: Evaluation) -> dict[str, object]:
    return {
        "top1": found.top1,
        "top5": found.top5,
        "confusion": found.confusion,
        "per_class": [(c.name, c.images, c.correct) for c in found.per_class],
    }


def test_an_artifact_against_the_naive_figures(artifact: Artifact) -> None:
    logits = Engine(artifact)(IMAGES)
    found = evaluate(artifact, source(), reference=MODEL)
    assert figures(found) == naive(logits, LABELS)
    agreed = (logits.argmax(axis=1) == FLOAT.argmax(axis=1)).mean()
    assert found.agreement == pytest.approx(100 * agreed)
    assert 0 < agreed < 1
    of_float = naive(FLOAT, LABELS)
    assert (found.reference_top1, found.reference_top5) == (of_float["top1"], of_float["top5"])
    assert found.images == 150
    assert found.artifact_bytes == len(artifact.data)
    assert found.float_bytes == 4 * sum(p.numel() for p in MODEL.parameters())
    assert found.bad == ()


def test_a_float_model_against_the_naive_figures() -> None:
    found = evaluate(MODEL, source(), preprocess=PREPROCESS)
    assert figures(found) == naive(FLOAT, LABELS)
    assert (found.agreement, found.artifact_bytes) == (None, None)
    assert found.float_bytes == 4 * sum(p.numel() for p in MODEL.parameters())


def test_every_form_of_an_artifact_gives_the_same(artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "m.bw.safetensors"
    artifact.save(path)
    expected = evaluate(artifact, source())
    assert all(evaluate(form, source()) == expected for form in (path, str(path), Engine(path)))
    assert bitwright.evaluate is evaluate


def test_a_model_agrees_with_itself() -> None:
    assert evaluate(MODEL, source(), preprocess=PREPROCESS, reference=MODEL).agreement == 100.0


def test_equal_logits_count_for_the_first_class() -> None:
    linear = nn.Linear(192, 7)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    model = nn.Sequential(nn.Flatten(), linear)
    assert figures(evaluate(model, source(), preprocess=PREPROCESS)) == naive(np.zeros((150, 7)), LABELS)


def test_without_labels_only_agreement_is_known(artifact: Artifact) -> None:
    found = evaluate(artifact, source(labelled=False), reference=net(1))
    assert (found.images, found.top1, found.top5, found.per_class, found.confusion) == (150, None, None, (), ())
    logits = Engine(artifact)(IMAGES)
    with torch.no_grad():
        other = net(1)(torch.from_numpy(PREPROCESS.normalise(IMAGES))).numpy()
    assert found.agreement == pytest.approx(100 * (logits.argmax(axis=1) == other.argmax(axis=1)).mean())


@pytest.mark.parametrize("limit", [1, 64, 65, 149, 150, 1000])
def test_a_limit_takes_the_first_images(limit: int, artifact: Artifact) -> None:
    heard, count = Heard(), min(limit, 150)
    found = evaluate(artifact, source(), limit=limit, progress=heard)
    assert found.images == count
    assert heard.steps == [("evaluating", min(done + 64, count), count) for done in range(0, count, 64)]
    assert figures(found) == naive(Engine(artifact)(IMAGES[:limit]), LABELS[:limit])


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused(limit: int, artifact: Artifact) -> None:
    with pytest.raises(SourceError):
        evaluate(artifact, source(), limit=limit)


def test_names_come_from_the_artifact_else_the_source(artifact: Artifact) -> None:
    for model, names in ((artifact, None), (artifact.with_classes(None), CLASSES)):
        assert [c.name for c in evaluate(model, source(classes=names)).per_class] == list(CLASSES[:6])


def test_classes_without_names_are_numbers() -> None:
    found = evaluate(MODEL, source(classes=None), preprocess=PREPROCESS)
    assert [c.name for c in found.per_class] == list("012345")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images in two classes, one of them broken."""
    for i in range(4):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(IMAGES[i]).save(path)
    (tmp_path / "a" / "2.png").write_bytes(b"not a picture")
    return tmp_path


def test_bad_images_are_reported_and_count_nowhere(artifact: Artifact, folder: Path) -> None:
    found = evaluate(artifact, folder, reference=MODEL)
    assert found.images == 3
    assert [Path(bad.name).name for bad in found.bad] == ["2.png"]
    assert found.bad[0].reason
    assert sum(n for _, _, n in found.confusion) == sum(c.images for c in found.per_class) == 3
    assert found == evaluate(artifact, str(folder), reference=MODEL)
    with pytest.raises(ImageError, match=r"2\.png"):
        evaluate(artifact, folder, strict=True)


def test_a_float_model_needs_its_preprocessing() -> None:
    with pytest.raises(BitwrightError, match="preprocess"):
        evaluate(MODEL, source())


@pytest.mark.parametrize("model", [None, 3, {}])
def test_what_is_no_model_is_called_that(model: Any) -> None:
    with pytest.raises(ModelError, match="expected a float model"):
        evaluate(model, source())


def test_the_record_is_plain_data(artifact: Artifact) -> None:
    record = evaluate(artifact, source(), reference=MODEL).to_json()
    again = json.loads(json.dumps(record))
    assert again["top1"] == record["top1"]
    assert again["per_class"][0] == {"name": "a", **{k: record["per_class"][0][k] for k in ("images", "correct")}}
    assert again["confusion"] == [list(entry) for entry in record["confusion"]]


def test_measuring_leaves_models_in_their_mode() -> None:
    """A training loop that measures between epochs goes on training."""
    model, reference = net().train(), net(1).train()
    model[1].eval()
    evaluate(model, source(), preprocess=PREPROCESS, reference=reference, limit=2)
    assert [m.training for m in (model, model[0], model[1], reference)] == [True, True, False, True]


def test_labels_that_do_not_fit_are_refused_before_an_image_is_read(artifact: Artifact) -> None:
    class Unread(ArrayReader):
        def read(self, i: int):
            raise AssertionError(f"read image {i}")

    for labels, classes in ((LABELS + 7, None), (LABELS, tuple("tuvwxyz")), (LABELS, (*"abcde", "?"))):
        unread = ImageSource(Unread(IMAGES, "set"), "set", labels, classes)
        for model in (artifact, Engine(artifact)):
            with pytest.raises(LabelError, match="set: "):
                evaluate(model, unread, limit=1)
    with pytest.raises(LabelError, match="expected labels 0 to 6"):
        evaluate(MODEL, ImageSource(Unread(IMAGES, "set"), "set", LABELS + 7), preprocess=PREPROCESS)
    with pytest.raises(ModelError, match="the reference has 192 classes and the model 7"):
        evaluate(artifact, source(), reference=nn.Flatten())


def test_names_are_matched_and_may_be_given(artifact: Artifact) -> None:
    expected = figures(evaluate(artifact, source()))
    turned = ImageSource(ArrayReader(IMAGES, "set"), "set", 6 - LABELS, CLASSES[::-1])
    assert figures(evaluate(artifact, turned)) == expected
    assert figures(evaluate(MODEL, turned, preprocess=PREPROCESS, classes=CLASSES)) == naive(FLOAT, LABELS)
    plain = evaluate(artifact, source(classes=None))
    assert (figures(plain), plain.labels_by) == (expected, "index")
    assert evaluate(artifact, turned, labels="none").top1 is None


@pytest.mark.parametrize("squeezed", [False, True])
def test_one_logit_is_judged_by_its_sign(squeezed: bool) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 1)).eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(PREPROCESS.normalise(IMAGES))).numpy()[:, 0]
        model.get_submodule("3").get_parameter("bias").sub_(float(np.median(logits)))
        logits -= np.median(logits)
    labels = (logits > 0).astype(np.int64)
    labels[:30] = 1 - labels[:30]
    binary = ImageSource(ArrayReader(IMAGES, "set"), "set", labels, ("no", "yes"))
    made = quantize(model, IMAGES, preprocess=PREPROCESS, classes=("no", "yes"))
    found = evaluate(made, binary, reference=nn.Sequential(model, nn.Flatten(0)) if squeezed else model)
    assert found.reference_top1 == 80.0
    guesses = Engine(made)(IMAGES)[:, 0] > 0
    assert found.top1 == pytest.approx(100 * (guesses == labels).mean())
    assert found.agreement == pytest.approx(100 * (guesses == (logits > 0)).mean())
    assert (found.classes, found.at_chance, len(found.per_class)) == (2, False, 2)


def test_an_integer_model_that_only_guesses_is_said_where_the_float_one_does_not() -> None:
    class Destroyed(nn.Module):
        """Its weights are so small beside the one that sets the scale that all of them round to 0."""

        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Linear(3 * 8 * 8, 2, bias=False)
            with torch.no_grad():
                self.logits.weight.normal_(0, 0.01).clamp_(-0.02, 0.02)
                self.logits.weight[:, 0] = 50

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.logits(x.flatten(1))

    torch.manual_seed(0)
    model = Destroyed().eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(PREPROCESS.normalise(IMAGES)))
    labels = logits.argmax(1).numpy()
    made = quantize(model, IMAGES, preprocess=PREPROCESS, recipe=Recipe(weights="int2", algorithms=()))
    found = evaluate(made, ImageSource(ArrayReader(IMAGES, "set"), "set", labels), reference=model)
    (remark,) = found.remarks
    assert "the integer model is right on" in remark
    assert "where the float model is right on 100.0 %" in remark


@pytest.mark.parametrize("call", [quantize, evaluate])
def test_a_preprocessing_of_another_type(call: Any) -> None:
    model: Any = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    with pytest.raises(PreprocessError, match=r"expected a Preprocess, found dict; make one: bitwright.Preprocess\("):
        call(model, source(), preprocess={"size": 8})


ENDS: dict[str, Any] = {
    "sigmoid": torch.sigmoid,
    "sigmoid without its axis": lambda x: torch.sigmoid(x).squeeze(1),
    "its axis lost before": lambda x: torch.sigmoid(x[:, 0]),
    "logarithm of a sigmoid": torch.nn.functional.logsigmoid,
    "logarithm by hand": lambda x: torch.sigmoid(x).log().flatten(),
    "no sigmoid, but no axis": lambda x: x.view(-1),
    "none": lambda x: x,
}


@pytest.mark.filterwarnings("ignore::bitwright.errors.CaptureWarning")  # that a sigmoid is left out
@pytest.mark.parametrize("end", ENDS)
def test_a_single_output_may_be_a_probability(end: str) -> None:
    torch.manual_seed(3)
    logits = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 1)).eval()
    with torch.no_grad():
        found = logits(torch.from_numpy(PREPROCESS.normalise(IMAGES)))[:, 0]
        logits.get_submodule("3").get_parameter("bias").sub_(found.median())
    labels = (found > found.median()).numpy().astype(np.int64)
    binary = ImageSource(ArrayReader(IMAGES, "set"), "set", labels)
    model = Returns(ENDS[end], logits)
    result = evaluate(model, binary, preprocess=PREPROCESS)
    assert (result.top1, result.remarks) == (100.0, ())
    made = quantize(model, IMAGES, preprocess=PREPROCESS)
    np.testing.assert_array_equal(Engine(made)(IMAGES), Engine(quantize(logits, IMAGES, preprocess=PREPROCESS))(IMAGES))
    agreement = evaluate(made, binary, reference=model).agreement
    assert agreement is not None
    assert agreement > 95


def test_a_single_output_that_looks_like_a_probability_is_said() -> None:
    model = Returns(lambda x: 1 / (1 + torch.exp(-x[:, :1])))
    (remark,) = (
        text
        for text in evaluate(
            model, ImageSource(ArrayReader(IMAGES, "set"), "set", LABELS % 2), preprocess=PREPROCESS
        ).remarks
        if "probability" in text
    )
    assert remark.startswith("the single output of the float model is between 0 and 1 for all 150 images")


class Returns(nn.Module):
    """A model that returns what a function makes of its logits."""

    def __init__(self, wrapped, model: nn.Module | None = None) -> None:
        super().__init__()
        self.model, self.wrapped = model or MODEL, wrapped

    def forward(self, x: torch.Tensor):
        return self.wrapped(self.model(x))


@pytest.mark.parametrize("wrapped", [lambda x: {"logits": x, "loss": None}, lambda x: (x,), lambda x: x.double()])
def test_logits_may_be_wrapped(wrapped) -> None:
    assert figures(evaluate(Returns(wrapped), source(), preprocess=PREPROCESS, classes=CLASSES)) == naive(FLOAT, LABELS)


@pytest.mark.parametrize(
    ("wrapped", "message"),
    [
        (lambda x: (x, x), "found tuple of 2 things .Tensor, Tensor."),
        (lambda x: None, "of 0 things"),
        (lambda x: "cat", "found str of 1 things"),
        (lambda x: x[:, :, None, None].expand(-1, -1, 2, 2), r"found float32 \[2, 7, 2, 2\]"),
        (lambda x: x.argmax(1), r"found int64 \[2, 1\]"),
        (lambda x: x.mean(0), r"found float32 \[7\]"),
        (lambda x: x.nonsense, "cannot run on these images"),
    ],
)
def test_what_is_no_logits_is_refused(wrapped, message: str, artifact: Artifact) -> None:
    model = Returns(wrapped)
    with pytest.raises(ModelError, match=message):
        evaluate(model, source(), preprocess=PREPROCESS)
    with pytest.raises(ModelError, match=message):
        evaluate(artifact, source(), reference=model)


@pytest.mark.parametrize("end", [torch.nn.Softmax(1), torch.nn.LogSoftmax(1)])
def test_logits_of_a_model_that_ends_in_a_softmax_are_those_in_front_of_it(end: torch.nn.Module) -> None:
    from tests.test_ranks import PREPROCESS, network

    net = network()
    pixels = next(iter(open_source("digits[:70]").batches(PREPROCESS, 70))).images
    plain, ended = (float_predictor(model, PREPROCESS)(pixels) for model in (net, torch.nn.Sequential(net, end)))
    np.testing.assert_allclose(ended, plain, rtol=1e-4, atol=1e-4)
