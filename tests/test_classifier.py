"""`Classifier`: what it takes, the order of what it gives, and that threads and batches change nothing."""

import threading
from collections.abc import Generator
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from PIL import Image

import bitwright
from bitwright.classifier import Classifier
from bitwright.engine import Engine
from bitwright.errors import EngineError, ImageError
from bitwright.images.sources import open_source
from bitwright.records import Guess, Prediction
from tests.engine.test_engine import ARTIFACT

PICTURES = [np.random.default_rng(seed).integers(0, 256, (9 + seed, 12, 3), np.uint8) for seed in range(25)]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{i:02}.png" for i in range(len(PICTURES))]
    for path, picture in zip(paths, PICTURES, strict=True):
        Image.fromarray(picture).save(path)
    return paths


@pytest.fixture(scope="module")
def logits():
    pixels = np.stack([ARTIFACT.preprocess.apply(picture) for picture in PICTURES])
    return Engine(ARTIFACT, backend="reference")(pixels)


def stacked(predictions: list[Prediction]) -> np.ndarray:
    return np.stack([p.logits for p in predictions if p.logits is not None])


def test_the_public_names_are_the_same_classes():
    assert (bitwright.Classifier, bitwright.Prediction, bitwright.Guess) == (Classifier, Prediction, Guess)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_threads_and_batches_change_nothing(files, logits, threads, batch):
    found = Classifier(ARTIFACT, threads=threads, batch=batch)(files, top=2)
    assert [prediction.image for prediction in found] == list(map(str, files))
    for prediction, expected in zip(found, logits, strict=True):
        np.testing.assert_array_equal(prediction.logits, expected)
        best = np.argsort(-expected, kind="stable")[:2]
        assert [guess.index for guess in prediction.top] == best.tolist()
        assert [guess.name for guess in prediction.top] == ["abc"[i] for i in best]
        powers = np.exp(expected.astype(np.float64) - expected.max())
        assert [guess.probability for guess in prediction.top] == pytest.approx(powers[best] / powers.sum())
        assert prediction.best == prediction.top[0]


def test_every_kind_of_picture_gives_the_same(files, logits, tmp_path):
    classify = Classifier(ARTIFACT, threads=2)
    picture = Image.open(files[0])
    for given in (files[0], str(files[0]), files[0].read_bytes(), picture, PICTURES[0]):
        for many in (given, [given], [given, given]):
            for prediction in classify(many):
                np.testing.assert_array_equal(prediction.logits, logits[0])
    assert [p.image for p in classify([PICTURES[0], files[1].read_bytes()])] == ["image 0", "image 1"]
    same_size = np.stack([picture[:9] for picture in PICTURES])
    for images in (same_size, list(same_size), (image for image in same_size)):
        found = stacked(classify(images))
        pixels = np.stack([ARTIFACT.preprocess.apply(image) for image in same_size])
        np.testing.assert_array_equal(found, Engine(ARTIFACT)(pixels))
    from_source = classify(open_source(tmp_path))
    assert [p.image for p in from_source] == list(map(str, files))
    np.testing.assert_array_equal(stacked(from_source), logits)


def test_a_folder_is_its_images(files, tmp_path):
    """As `open_source` opens it; among other pictures, and for the engine, it is an error that says so."""
    for folder in (tmp_path, str(tmp_path)):
        assert [p.image for p in Classifier(ARTIFACT, threads=2)(folder)] == list(map(str, files))
    first, second = Classifier(ARTIFACT)([files[0], tmp_path])
    assert first.error is None
    assert second.error is not None
    assert "open_source" in second.error
    with pytest.raises(ImageError, match="open_source"):
        Engine(ARTIFACT)(tmp_path)


def test_an_artifact_and_its_path_are_the_same(files, tmp_path):
    ARTIFACT.save(tmp_path / "model.safetensors")
    assert Classifier(tmp_path / "model.safetensors")(files) == Classifier(ARTIFACT)(files)


def test_classes_without_names_are_numbers(files):
    [found] = Classifier(replace(ARTIFACT, classes=None))(files[0])
    assert [guess.name for guess in found.top] == [str(guess.index) for guess in found.top]
    assert len(found.top) == 3


def test_a_bad_image_is_a_prediction_with_an_error(files, tmp_path):
    files[1].write_bytes(b"not a picture")
    files[3].unlink()
    found = Classifier(ARTIFACT, threads=2, batch=3)([*files, b"neither", np.zeros((2, 2), np.float32)])
    bad = {p.image: p.error for p in found if p.error is not None}
    assert list(bad) == [str(files[1]), str(files[3]), "image 25", "image 26"]
    assert bad[str(files[1])].startswith(f"{files[1]}: not an image of a known format")
    assert bad[str(files[3])] == f"{files[3]}: No such file or directory"
    assert bad["image 25"].startswith("image 25: not an image of a known format")
    assert bad["image 26"].startswith("image 26: expected a uint8 array")
    assert len(found) == len(files) + 2
    assert all(p.best is None and p.logits is None for p in found if p.error is not None)
    assert Classifier(ARTIFACT)(tmp_path / "none.png")[0].error == f"{tmp_path}/none.png: No such file or directory"


def test_the_stream_reads_no_further_than_it_must(files):
    """Predictions come while later images have not even been asked for."""
    asked, before = [], {*threading.enumerate()}

    def endless():
        for i in range(10**9):
            asked.append(i)
            yield files[i % len(files)]

    classify = Classifier(ARTIFACT, threads=2, batch=4)
    stream = classify.stream(endless())
    assert isinstance(stream, Generator)
    first = [next(stream) for _ in range(10)]
    assert [p.image for p in first] == list(map(str, files[:10]))
    assert len(asked) <= 10 + 4 * (2 * 2 + 1)
    stream.close()
    for thread in {*threading.enumerate()} - before:
        thread.join(60)
        assert not thread.is_alive()


def test_no_images_are_no_predictions():
    assert Classifier(ARTIFACT)([]) == []


@pytest.mark.parametrize("images", [7, None, [7], [[b"x"]]])
def test_what_is_no_image_is_an_error(images):
    with pytest.raises(EngineError, match=r"found (int|NoneType|list)"):
        Classifier(ARTIFACT)(images)


@pytest.mark.parametrize("count", [1.5, "3", True, None, -1, 2.0])
def test_what_is_no_count_is_an_error(count):
    with pytest.raises(EngineError, match="expected a batch of at least 1 image"):
        Classifier(ARTIFACT, batch=count)
    with pytest.raises(EngineError, match="expected at least 1 class for each image"):
        Classifier(ARTIFACT)(np.zeros((2, 2, 3), np.uint8), top=count)


def test_counts_below_one_are_errors(files):
    with pytest.raises(EngineError, match="at least 1"):
        Classifier(ARTIFACT, batch=0)
    with pytest.raises(EngineError, match=r"threads.* found 0"):
        Classifier(ARTIFACT, threads=0)
    with pytest.raises(EngineError, match="at least 1 class"):
        Classifier(ARTIFACT)(files, top=0)


def test_a_prediction_is_a_record(files):
    [found] = Classifier(ARTIFACT)(files[0], top=1)
    [guess] = found.top
    assert found.to_json() == {
        "path": str(files[0]),
        "error": None,
        "top": [{"index": guess.index, "name": guess.name, "percent": round(100 * guess.probability, 4)}],
    }
    with pytest.raises(FrozenInstanceError):
        found.error = "x"  # type: ignore[misc]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_thread_that_calls_by_itself_has_an_engine_of_one_thread(threads):
    classifier = Classifier(ARTIFACT, threads=threads)
    of_thread = classifier._engine_of_a_thread
    assert of_thread._backend.threads == 1  # type: ignore[attr-defined]
    assert (of_thread is classifier.engine) == (threads == 1), "an engine of one thread need not be made twice"
