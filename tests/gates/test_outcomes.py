"""Outcomes: the integer and the float model on the same images."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from torch import nn

from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.errors import LabelError, ModelError, SourceError
from bitwright.evaluation import evaluate, float_predictor
from bitwright.gates import outcomes_of
from bitwright.images.sources import ImageSource, open_source


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> ImageSource:
    """Noise of random labels: some right, some wrong, some that the two models differ on; and a file that is no image."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(3)
    for i in range(60):
        path = folder / ("blue", "green", "red")[i % 3] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    (folder / "red" / "bad.png").write_bytes(b"no picture")
    return open_source(str(folder))


def test_it_counts_what_evaluate_counts(artifact: Artifact, net, source: ImageSource):
    found = outcomes_of(artifact, net, source, peers={"twin": float_predictor(net, artifact.preprocess)})
    expected = evaluate(artifact, source, reference=net)
    assert found.labels is not None
    assert len(found) == expected.images == 60
    assert 100 * found.agreed / 60 == expected.agreement
    assert found.drop.points == pytest.approx((expected.reference_top1 or 0) - (expected.top1 or 0))
    assert {found.names[k]: drop.images for k, drop in found.class_drops.items()} == {
        c.name: c.images for c in expected.per_class
    }
    assert sum(drop.lost for drop in found.class_drops.values()) == found.drop.lost
    assert [bad.name for bad in found.bad] == [bad.name for bad in expected.bad]
    assert len(found.bad) == 1
    np.testing.assert_array_equal(found.peers["twin"].classes, found.float_.classes)
    i = 17
    pixels = artifact.preprocess.apply(source.read(int(found.indices[i])))
    assert Engine(artifact)(pixels).argmax() == found.integer.classes[i]
    assert 1 / 3 < found.integer.confidences[i] <= 1
    assert found.integer.in_best_five is None, "of three classes all are among the best five"


def test_without_labels(artifact: Artifact, net, source: ImageSource):
    found = outcomes_of(artifact, net, source, labels="none", limit=7)
    assert len(found) == 7
    assert found.labels is None
    assert found.doubt is None
    assert not found.drop.labelled


def test_another_model_is_refused(artifact: Artifact, source: ImageSource):
    other = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    with pytest.raises(ModelError, match="the float model has 4 classes and the artifact 3"):
        outcomes_of(artifact, other, source)


def test_labels_that_mean_something_else_are_refused(artifact: Artifact, net, source: ImageSource):
    with pytest.raises(LabelError, match="no name in common"):
        outcomes_of(artifact, net, replace(source, classes=("x", "y", "z")))


def test_no_image_at_all_is_an_error(artifact: Artifact, net, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match="none of the 1 images could be read"):
        outcomes_of(artifact, net, open_source(str(tmp_path)))
