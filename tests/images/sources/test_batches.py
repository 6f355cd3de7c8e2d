import gc
import itertools
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.errors import ImageError
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import BadImage, Batch, ImageSource, open_source
from bitwright.images.sources.readers import ArrayReader, FileReader

PRE = Preprocess(4, mode="L")


@pytest.fixture
def mixed(tmp_path: Path) -> ImageSource:
    """Ten files whose level is their number; 2 and 7 are broken, 5 is missing, 6 loads but means nothing."""
    paths = [tmp_path / f"{i}.tif" for i in range(10)]
    for i, path in enumerate(paths):
        Image.new("L", (4, 4), i).save(path)
    for i in (2, 7):
        paths[i].write_bytes(b"not an image")
    paths[5].unlink()
    Image.new("F", (4, 4), 6.0).save(paths[6])
    return ImageSource(FileReader(paths), "mixed", np.arange(10))


def levels(batch: Batch) -> list[int]:
    assert (batch.images == batch.images[:, :1, :1]).all()
    return [int(level) for level in batch.images[:, 0, 0, 0]]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_batches_are_full_and_in_order(mixed: ImageSource, batch_size: int, workers: int) -> None:
    iterator = mixed.batches(PRE, batch_size, workers=workers)
    batches = list(iterator)
    good = [0, 1, 3, 4, 8, 9]
    assert [levels(batch) for batch in batches] == [good[i : i + batch_size] for i in range(0, 6, batch_size)]
    for batch in batches:
        assert batch.images.dtype == np.uint8
        assert batch.images.shape[1:] == (4, 4, 1)
        assert batch.labels is not None
        assert batch.labels.dtype == batch.indices.dtype == np.int64
        assert batch.labels.tolist() == batch.indices.tolist() == levels(batch)
    assert [bad.name for bad in iterator.bad] == [mixed.name(i) for i in (2, 5, 6, 7)]
    assert iterator.bad[1] == BadImage(mixed.name(5), "No such file or directory")
    assert "floats must hold values" in iterator.bad[2].reason


@pytest.mark.parametrize(("first", "reason"), [(2, "not an image"), (5, "No such file"), (6, "floats must hold")])
def test_strict_stops_at_the_first_bad_image(mixed: ImageSource, first: int, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as error:
        list(mixed.subset([0, first, 1]).batches(PRE, 4, strict=True))
    assert str(error.value).count(str(mixed.name(first))) == 1


def test_batches_that_nobody_has_any_more_go_at_once(mixed: ImageSource) -> None:
    """Not when Python looks for cycles: a thread that it interrupts may hold any lock."""
    batches = mixed.batches(PRE, 1)
    next(batches)
    gone = weakref.ref(batches)
    gc.disable()
    try:
        del batches
        assert gone() is None
    finally:
        gc.enable()


def test_nothing_comes_behind_an_error(mixed: ImageSource) -> None:
    batches = mixed.batches(PRE, 1, strict=True)
    assert len(list(itertools.islice(batches, 2))) == 2
    with pytest.raises(ImageError):
        next(batches)
    assert list(batches) == []


def test_without_labels() -> None:
    source = ImageSource(ArrayReader(np.zeros((3, 4, 4), np.uint8), "zeros"), "zeros")
    (batch,) = source.batches(PRE, 4)
    assert batch.labels is None
    assert len(batch.images) == 3


def test_only_a_few_images_are_read_ahead() -> None:
    class Counting:
        read_so_far = 0

        def __len__(self) -> int:
            return 1000

        def read(self, i: int) -> np.ndarray:
            self.read_so_far += 1
            return np.zeros((4, 4), np.uint8)

        def name(self, i: int) -> str:
            return str(i)

    reader = Counting()
    iterator = ImageSource(reader, "counting").batches(PRE, 10, workers=2)
    next(iterator)
    assert 10 <= reader.read_so_far <= 30
    assert sum(len(batch.images) for batch in iterator) == 990


def test_no_thread_is_left_behind(mixed: ImageSource) -> None:
    before = {*threading.enumerate()}
    list(mixed.batches(PRE, 3))
    assert {*threading.enumerate()} <= before


def test_a_colour_source_for_a_grey_model(data_dir: Path) -> None:
    (batch,) = open_source(data_dir / "tiny-imagenet" / "val2000.csv[:3]").batches(Preprocess(28, mode="L"), 8)
    assert batch.images.shape == (3, 28, 28, 1)
    assert batch.images.std() > 10


@pytest.mark.parametrize(("batch_size", "workers"), [(0, 1), (1, 0)])
def test_nonsense_is_refused(mixed: ImageSource, batch_size: int, workers: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        mixed.batches(PRE, batch_size, workers=workers)
