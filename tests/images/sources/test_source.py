import numpy as np
import pytest

from bitwright.errors import SourceError, SourceWarning
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader, SubsetReader


def grey(n: int, labels: np.ndarray | None = None, classes: tuple[str, ...] | None = None) -> ImageSource:
    levels = np.arange(n, dtype=np.uint8)
    return ImageSource(ArrayReader(np.broadcast_to(levels[:, None, None], (n, 2, 2)), "set"), "set", labels, classes)


def levels(source: ImageSource) -> list[int]:
    return [int(np.asarray(source.read(i))[0, 0]) for i in range(len(source))]


def test_subsets_keep_names_labels_and_classes() -> None:
    source = grey(6, np.array([0, 1, 2, 0, 1, 2]), ("a", "b", "c"))
    part = source.subset([5, 0, 3]).subset([2, 0])
    assert levels(part) == [3, 5]
    assert part.labels is not None
    assert part.labels.tolist() == [0, 2]
    assert part.classes == ("a", "b", "c")
    assert [part.name(i) for i in range(2)] == ["set[3]", "set[5]"]


@pytest.mark.parametrize("indices", [[], [6], [-1], [0.5], [[0]], [True]])
def test_subsets_of_what_is_not_there_are_refused(indices: list[int]) -> None:
    with pytest.raises(SourceError, match="set: expected positions"):
        grey(6).subset(indices)


def test_samples() -> None:
    source = grey(100)
    sample = levels(source.sample(10, seed=3))
    assert sample == sorted(set(sample))
    assert len(sample) == 10
    assert sample == levels(source.sample(10, seed=3))
    assert sample != levels(source.sample(10, seed=4))
    assert set(sample) < set(levels(source.sample(20, seed=3)))
    assert levels(source.sample(100, seed=0)) == list(range(100))


def test_the_stream_of_samples_never_changes() -> None:
    assert levels(grey(100).sample(5, seed=0)) == [2, 26, 55, 75, 86]


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (7, 0), (-1, 0), (3, -1), (3, 2**32)])
def test_samples_that_can_not_be_drawn(n: int, seed: int) -> None:
    with pytest.raises(SourceError, match=r"set: (can't sample|expected a seed)"):
        grey(6).sample(n, seed)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (np.arange(3), None, "expected 2 labels"),
        (np.array([0.0, 1.0]), None, "found float64"),
        (np.array([0, -1]), None, "expected labels 0 and up; found -1 to 0"),
        (np.array([0, 2]), ("a", "b"), "expected labels 0 to 1, one per class name; found 0 to 2"),
    ],
)
def test_labels_must_fit(labels: np.ndarray, classes: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        grey(2, labels, classes)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4), (2, 4, 4, 2), (2, 0, 4, 3)])
def test_arrays_that_hold_no_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SourceError, match="set: expected images as a uint8 array"):
        ArrayReader(np.zeros(shape, np.uint8), "set")


def known(source: ImageSource) -> np.ndarray:
    assert source.labels is not None
    return source.labels


def test_a_sample_has_each_classs_share() -> None:
    labels = np.repeat(np.arange(4), [40, 20, 10, 30])
    source = grey(100, labels)
    for n in (4, 10, 50, 77):
        found = np.bincount(known(source.sample(n, seed=1)), minlength=4)
        assert (np.abs(found - n * np.array([0.4, 0.2, 0.1, 0.3])) <= 1).all()
        assert set(levels(source.sample(n, seed=1))) < set(levels(source.sample(n + 3, seed=1)))
    first, others = source.split(50, 50, seed=1)
    assert sorted(levels(first) + levels(others)) == list(range(100))
    assert levels(source.sample(10, seed=1)) != levels(source.sample(10, seed=2))


def test_few_images_of_many_classes_are_of_as_many_classes() -> None:
    source = grey(100, np.repeat(np.arange(50), 2))
    assert len(np.unique(known(source.sample(50, seed=0)))) == 50


def test_a_head_of_images_sorted_by_class_is_warned_of() -> None:
    labels = np.repeat(np.arange(10), 5)
    with pytest.warns(SourceWarning, match=r"sorted by class, and the first 12 are of 3 of the 10 classes"):
        assert len(grey(50, labels).head(12)) == 12
    assert len(grey(50, labels).head(50)) == 50
    assert len(grey(50, np.tile(np.arange(10), 5)).head(3)) == 3
    assert len(grey(50).head(3)) == 3
    assert len(grey(50, np.zeros(50, np.int64)).head(3)) == 3


def test_a_source_of_no_images_is_refused() -> None:
    with pytest.raises(SourceError, match="set: expected at least one image, found none"):
        ImageSource(SubsetReader(grey(3).reader, np.zeros(0, np.int64)), "set")
