"""The verbs: what they take, what they refuse, and that the same inputs give the same bytes."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bitwright
from bitwright.algorithms.ranges import RANGES
from bitwright.artifact import Artifact
from bitwright.errors import BitwrightError, CalibrationError, LabelError, RecipeError
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader
from bitwright.quantization import calibrate, convert, prepare, quantize
from bitwright.recipe import Recipe
from tests.networks import pictures
from tests.progress import Heard

PREPROCESS = Preprocess(size=(12, 10), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
IMAGES = pictures(PREPROCESS, 70)


def net() -> nn.Sequential:
    """Deep enough that float arithmetic could depend on the batch."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3), nn.Hardswish()]
    for _ in range(2):
        layers += [nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)).eval()


def make(images: Any = IMAGES, **options: Any) -> Artifact:
    return quantize(net(), images, **{"preprocess": PREPROCESS, **options})


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return make()


# --- the same inputs give the same bytes ------------------------------------------------------------------------------


def generator() -> Iterator[np.ndarray]:
    yield from np.split(IMAGES, [1, 8, 8, 40, 45])


def source(classes: tuple[str, ...] | None = None) -> ImageSource:
    return ImageSource(ArrayReader(IMAGES, "set"), "set", None, classes)


FORMS: dict[str, Callable[[], Any]] = {
    "the same array": lambda: IMAGES,
    "an array in another layout": lambda: np.asfortranarray(IMAGES),
    "single images": lambda: [IMAGES[i : i + 1] for i in range(len(IMAGES))],
    "a list of batches": lambda: [IMAGES[:50], IMAGES[50:]],
    "a generator of uneven batches": generator,
    "an image source": source,
}


@pytest.mark.parametrize("form", FORMS)
def test_images_in_any_form_give_the_same_bytes(form: str, artifact: Artifact) -> None:
    assert make(FORMS[form]()).data == artifact.data


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_the_order_of_the_images_makes_no_difference(order: str, artifact: Artifact) -> None:
    """But for the sums of floats, whose order depends on which images share a batch."""
    images = IMAGES[::-1] if order == "reversed" else np.random.default_rng(1).permutation(IMAGES)
    found, expected = (bitwright.Engine(made)(IMAGES) for made in (make(images), artifact))
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_labels_reach_the_corrections_from_a_source_as_from_its_batches() -> None:
    labelled = ImageSource(ArrayReader(IMAGES, "set"), "set", np.repeat(np.arange(7), 10))
    assert make(labelled).data == make(labelled.batches(PREPROCESS, 5)).data


@pytest.mark.parametrize("range_", RANGES)
def test_every_range_repeats_itself_and_is_recorded(range_: str) -> None:
    first = make(IMAGES[:5], range=range_)
    assert first.data == make(IMAGES[:5], range=range_).data
    assert first.provenance["calibration"]["range"] == range_


def test_the_state_of_the_random_generator_makes_no_difference(artifact: Artifact) -> None:
    torch.manual_seed(123)
    assert make().data == artifact.data


def test_quantizing_leaves_the_callers_random_numbers_alone() -> None:
    model = net()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    quantize(model, IMAGES[:2], preprocess=PREPROCESS, seed=5)
    assert torch.equal(torch.rand(3), expected)


def test_quantizing_leaves_the_model_as_it_was() -> None:
    model = net().train()
    model[3].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    quantize(model, IMAGES[:4], preprocess=PREPROCESS, recipe="w2a2")
    assert [m.training for m in model] == [i != 3 for i in range(len(model))]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_all_steps_in_one_call_are_the_steps(artifact: Artifact) -> None:
    prepared = prepare(net(), preprocess=PREPROCESS, recipe="w8a8")
    record = calibrate(prepared, IMAGES)
    assert [told["name"] for told in record["corrections"]] == ["equalize", "bias_correct"]
    assert record["judged_on"] == {"images": 35, "held_out": True}
    digests = b"".join(hashlib.sha256(image.tobytes()).digest() for image in IMAGES)
    expected = {"images": 70, "sha256": hashlib.sha256(digests).hexdigest(), "range": "mse"}
    assert {key: record[key] for key in expected} == expected
    steps = convert(prepared, provenance={"seed": 0, "calibration": record})
    assert dict(steps.provenance) == dict(artifact.provenance)
    assert steps.data == artifact.data
    assert (bitwright.prepare, bitwright.calibrate, bitwright.convert) == (prepare, calibrate, convert)


def test_the_provenance_says_how_it_was_made() -> None:
    made = make(IMAGES[:3], recipe="w4a8", seed=3, provenance={"model": "tiny"})
    assert made.provenance["recipe"] == Recipe.parse("w4a8").to_json()
    assert made.provenance["seed"] == 3
    assert made.provenance["model"] == "tiny"
    assert made.provenance["calibration"]["images"] == 3
    assert made.provenance["versions"]["torch"] == torch.__version__


def test_classes_come_from_the_source_or_the_caller() -> None:
    names = ("a", "b", "c", "d")
    assert make(source(names)).classes == names
    assert make(source(names), classes=tuple("wxyz")).classes == tuple("wxyz")
    assert make(IMAGES[:2]).classes is None
    with pytest.raises(BitwrightError, match=r"each of the model.s 4 classes, found 2"):
        make(IMAGES[:2], classes=["a", "b"])


def test_progress_counts_every_image() -> None:
    heard = Heard()
    make(generator(), progress=heard)
    assert [step for step in heard.steps if step[0] == "calibrating"] == [
        ("calibrating", done, done) for done in (32, 64, 70)
    ]


# --- what is refused --------------------------------------------------------------------------------------------------

BAD_IMAGES: dict[str, Any] = {
    "floats": IMAGES.astype(np.float32),
    "one image without a batch": IMAGES[0],
    "channels first": IMAGES.transpose(0, 3, 1, 2),
    "another size": IMAGES[:, :, :9],
    "grey": IMAGES[..., :1],
    "signed": IMAGES.astype(np.int8),
    "good, then bad": [IMAGES[:2], IMAGES[:2, 1:]],
    "numbers": [1, 2, 3],
    "lists": IMAGES[:1].tolist(),
    "a path": "folder/of/images",
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_bad_images_are_refused(kind: str) -> None:
    with pytest.raises(CalibrationError, match=r"expected uint8 images of \[N, 12, 10, 3\]"):
        make(BAD_IMAGES[kind])


def test_tensors_are_told_by_type_and_shape() -> None:
    with pytest.raises(
        CalibrationError, match=r"found torch.Tensor of torch.uint8 \[12, 10, 3\]: their .numpy\(\) gives"
    ):
        make(torch.from_numpy(IMAGES))


@pytest.mark.parametrize("images", [IMAGES[:0], [], [IMAGES[:0]], iter(())])
def test_no_images_are_refused(images: Any) -> None:
    with pytest.raises(CalibrationError, match="no images"):
        make(images)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "1", None, True])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    with pytest.raises(CalibrationError, match="as the seed, found"):
        make(seed=seed)
    with pytest.raises(CalibrationError, match="as the seed, found"):
        calibrate(prepare(net(), preprocess=PREPROCESS), IMAGES, seed=seed)


def test_unknown_ranges_and_recipes_are_refused_before_any_image_is_read() -> None:
    def never() -> Iterator[np.ndarray]:
        raise AssertionError("an image was read")
        yield

    for options in ({"range": "best"}, {"recipe": "w0a8"}, {"recipe": Recipe(range="best")}):
        with pytest.raises(RecipeError):
            make(never(), **options)


class Wide(nn.Module):
    """A linear layer whose worst case passes int32: 70,000 inputs of 255 times 127."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(70_000, 2)
        nn.init.ones_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(x.flatten(1))
        return logits


def test_a_layer_that_could_overflow_gets_groups_of_inputs_and_fewer_bits_need_none() -> None:
    preprocess = Preprocess(size=(200, 350), mode="L")
    image = np.full((1, 200, 350, 1), 255, np.uint8)
    found = quantize(Wide(), image, preprocess=preprocess)
    assert found.graph["fc"].tensors["m"].ndim == 2
    found = quantize(Wide(), image, preprocess=preprocess, recipe=Recipe(weights="int7"))
    assert found.graph["fc"].tensors["m"].ndim == 1


# --- memory -----------------------------------------------------------------------------------------------------------


def test_calibration_holds_no_image_and_histograms_of_one_size() -> None:
    prepared = prepare(net(), preprocess=PREPROCESS)

    def held() -> int:
        return sum(quantizer.histogram.counts.nbytes for quantizer in prepared.quantizers.values())  # type: ignore[union-attr, misc]

    sizes = []
    for count in (1, 40, 70):
        calibrate(prepared, IMAGES[:count])
        sizes.append(held())
        assert not [t for t in prepared.buffers() if t.numel() > 16 * 16 * 9]
    assert len(set(sizes)) == 1
    assert len(prepared.quantizers) * 2**16 == sizes[0]


def test_batches_are_read_one_at_a_time() -> None:
    events: list[str] = []

    class Seen(Heard):
        def at(self, what: str, done: float, total: float, details: object = None) -> None:
            if what == "calibrating":
                events.append("seen")

    def batches() -> Iterator[np.ndarray]:
        for _ in range(7):
            events.append("read")
            yield IMAGES[:32]

    calibrate(prepare(net(), preprocess=PREPROCESS), batches(), progress=Seen())
    assert events == ["read", "seen"] * 7


def test_class_names_may_be_a_file(tmp_path: Path) -> None:
    """The letters of a path are no classes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 9))
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), np.uint8)
    path, preprocess = tmp_path / "names.txt", Preprocess(size=4)
    path.write_text("\n".join("abcdefghi"))
    for classes in (path, str(path)):
        assert quantize(model, images, preprocess=preprocess, classes=classes).classes == tuple("abcdefghi")
    with pytest.raises(LabelError, match=r"names\.txt: cannot read it"):
        quantize(model, images, preprocess=preprocess, classes="names.txt")
    with pytest.raises(LabelError, match="expected a name for each of the model's 9 classes, found 2"):
        quantize(model, images, preprocess=preprocess, classes=["a", "b"])


def test_all_images_that_no_correction_needs_judge_them() -> None:
    images = pictures(PREPROCESS, 200)
    for algorithms, judges in ((("equalize", "bias_correct"), 72), (("equalize",), 200), (("gptq",), 64)):
        record = calibrate(prepare(net(), preprocess=PREPROCESS, recipe=Recipe(algorithms=algorithms)), images)
        assert record["judged_on"] == {"images": judges, "held_out": True}
