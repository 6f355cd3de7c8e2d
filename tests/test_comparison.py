"""Two artifacts side by side: what differs, and what both make of the same images."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from bitwright.artifact import Artifact
from bitwright.chance import mcnemar
from bitwright.comparison import LayerChange, compare, layer_changes, renamed_layers
from bitwright.engine import Engine
from bitwright.errors import ImageError, LabelError, SourceError
from bitwright.evaluation import evaluate
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader
from bitwright.quantization import quantize
from bitwright.records import LayerSummary
from tests.cli.conftest import COLOURS, FACTORY

NAMES = tuple(COLOURS)


def made(recipe: str, size: int = 8, rows=(0, 1, 2)) -> Artifact:
    """A model that tells which colour an image has most of, its logits in the order of `rows`."""
    space: dict = {}
    exec(FACTORY, space)
    net = space["net"]().eval()
    net[4].weight.data = net[4].weight.data[list(rows)]
    images = np.random.default_rng(0).integers(0, 256, (16, size, size, 3), np.uint8)
    found = quantize(net, images, recipe=recipe, preprocess=Preprocess(size=size))
    return found.with_classes(list(NAMES))


@pytest.fixture(scope="module")
def eight() -> Artifact:
    return made("w8a8")


@pytest.fixture(scope="module")
def coarse() -> Artifact:
    """Another size of image, and codes of 3 bits."""
    return made("w8a3", size=4)


@dataclass(frozen=True)
class WithABadOne:
    """Images of which one cannot be read."""

    inner: ArrayReader

    def __len__(self) -> int:
        return len(self.inner)

    def read(self, i: int):
        if i == 7:
            raise ImageError("image 7: broken")
        return self.inner.read(i)

    def name(self, i: int) -> str:
        return f"image {i}"


@pytest.fixture(scope="module")
def source() -> ImageSource:
    images = np.random.default_rng(1).integers(90, 150, (300, 8, 8, 3), np.uint8)
    labels = 2 - images.mean((1, 2)).argmax(1).astype(np.int64)
    return ImageSource(WithABadOne(ArrayReader(images, "noise")), "noise", labels, NAMES)


def test_answers_are_those_of_evaluate(eight: Artifact, coarse: Artifact, source: ImageSource):
    found = compare(eight, coarse, source, timed=False).answers
    assert found is not None
    first, second = evaluate(eight, source), evaluate(coarse, source)
    assert (found.first_top1, found.second_top1) == (first.top1, second.top1)
    assert found.drop.images == first.images == 299
    assert found.drop.points == pytest.approx((first.top1 or 0) - (second.top1 or 0))
    assert found.drop.lost > found.drop.gained
    assert found.p == mcnemar(found.drop.lost, found.drop.gained)
    assert [bad.name for bad in found.bad] == ["image 7"]
    engines = [(Engine(a), a.preprocess) for a in (eight, coarse)]
    readable = [i for i in range(300) if i != 7]
    classes = [[int(e(p.apply(source.read(i))).argmax()) for i in readable] for e, p in engines]
    agreed = sum(a == b for a, b in zip(*classes, strict=True))
    assert found.agreed == agreed < 299
    assert found.agreement_interval[0] < found.agreement < found.agreement_interval[1]


def test_a_model_is_equal_to_itself_with_its_classes_in_another_order(eight: Artifact):
    """Classes are compared by name."""
    images = np.repeat(np.repeat(90 * np.eye(3, dtype=np.uint8)[::-1, None, None], 8, 1), 8, 2)
    source = ImageSource(ArrayReader(images, "colours"), "colours", np.arange(3), NAMES)
    order = [2, 0, 1]
    turned = made("w8a8", rows=order).with_classes(None).with_classes([NAMES[i] for i in order])
    assert turned.class_names != eight.class_names
    found = compare(eight, turned, source, timed=False).answers
    assert found is not None
    assert found.agreement == 100
    assert found.drop.lost == found.drop.gained == 0
    assert found.p == 1


def test_without_labels_there_is_agreement_alone(eight: Artifact, coarse: Artifact, source: ImageSource):
    found = compare(eight, coarse, source, labels="none", limit=50, timed=False).answers
    assert found is not None
    assert (found.first_top1, found.second_top1, found.p, found.doubt) == (None, None, None, None)
    assert found.drop.images == 49  # one of the 50 cannot be read
    assert found.drop.lost == 49 - found.agreed > 0


def test_latency_is_measured_in_one_run(eight: Artifact, coarse: Artifact):
    found = compare(eight, coarse, threads=1)
    assert found.answers is None
    assert found.latencies is not None
    first, second = found.latencies
    assert first.ratio == 1
    assert second.ratio_interval[0] <= second.ratio <= second.ratio_interval[1]
    assert compare(eight, coarse, timed=False).latencies is None


def test_a_model_and_itself_differ_by_exactly_nothing(eight: Artifact, source: ImageSource):
    again = replace(eight, provenance={**eight.provenance, "made": "again"})
    found = compare(eight, again, source, threads=1)
    assert found.is_same
    assert found.answers is not None
    assert (found.answers.drop_interval, found.answers.agreement_interval) == ((0, 0), (100, 100))
    told = found.to_json()["answers"]
    assert (told["drop"]["interval"], told["agreement_interval"]) == ([0, 0], [100, 100])
    assert found.latencies is not None
    assert [(each.ratio, each.ratio_interval) for each in found.latencies] == [(1, (1, 1))] * 2
    other = compare(eight, made("w8a8", rows=(0, 2, 1)), source, labels="none", timed=False)
    assert not other.is_same
    assert other.answers is not None
    assert other.answers.drop_interval == other.answers.drop.interval()


def layer(name: str, weights: str | None, activations: str = "uint8", op="conv2d", shape=(1,)) -> LayerSummary:
    return LayerSummary(name, op, shape, weights, activations, 0, 0)


def test_layers_with_other_names_are_matched_by_order_op_and_shape():
    first = (layer("stem", "int8"), layer("a", "int8"), layer("pool", None, op="max"), layer("b", "int8"))
    second = (layer("stem", "int8"), layer("n0", "int8"), layer("n1", None, op="max"), layer("n2", "int4"))
    assert renamed_layers(first, second) == (("a", "n0"), ("pool", "n1"), ("b", "n2"))
    assert layer_changes(first, second) == (LayerChange("b", "int8 weights, uint8", "int4 weights, uint8", "n2"),)
    wider = (layer("stem", "int8"), layer("w", "int8", shape=(2,)), layer("n1", None, op="max"))
    assert renamed_layers(first, wider) == (("pool", "n1"),)
    assert [change.name for change in layer_changes(first, wider)] == ["a", "b", "w"]


def test_layers_whose_schemes_differ():
    first = (layer("a", "int8"), layer("b", "int8"), layer("c", None), layer("gone", None, op="add"), layer("d", None))
    second = (layer("new", "int2"), layer("a", "int4"), layer("b", "int8"), layer("c", None, "uint4"), layer("d", None))
    assert layer_changes(first, second) == (
        LayerChange("a", "int8 weights, uint8", "int4 weights, uint8"),
        LayerChange("c", "uint8", "uint4"),
        LayerChange("gone", "uint8", None),
        LayerChange("new", None, "int2 weights, uint8"),
    )


def test_models_of_other_classes_are_refused(eight: Artifact, source: ImageSource):
    other = eight.with_classes(None).with_classes(["x", "y", "z"])
    with pytest.raises(LabelError, match=r"the first has blue, green, red, the second x, y, z"):
        compare(eight, other, source, timed=False)
    compare(
        eight, eight.with_classes(None), source, timed=False
    )  # whose classes have no names is taken by their places


def test_labels_in_another_order_are_a_doubt(eight: Artifact, source: ImageSource):
    assert source.labels is not None
    turned = replace(source, labels=(source.labels + 1) % 3)
    right, wrong = (compare(eight, eight, images, timed=False).answers for images in (source, turned))
    assert right is not None
    assert wrong is not None
    assert right.doubt is None
    assert wrong.doubt is not None


@pytest.mark.parametrize("labelled", [True, False])
def test_names_in_another_order_are_a_doubt(labelled: bool, eight: Artifact, source: ImageSource):
    turned = replace(eight, classes=(*NAMES[1:], NAMES[0]))
    images = source if labelled else replace(source, labels=None)
    found = compare(eight, turned, images, timed=False).answers
    assert found is not None
    assert found.doubt is not None
    assert "the second model: are the labels in another order" in found.doubt


def test_no_image_at_all_is_an_error(eight: Artifact, source: ImageSource):
    with pytest.raises(SourceError, match="none of the 1 images could be read"):
        compare(eight, eight, source.subset([7]), timed=False)
