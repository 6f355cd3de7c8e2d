"""A source's labels as a model's classes: by name, by number, by order, or not at all."""

from pathlib import Path

import numpy as np
import pytest

from bitwright.classes import ClassNames
from bitwright.errors import LabelError
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader
from bitwright.labels import Fitted, fit_labels, names_for

MODEL = ClassNames(("cat", "dog", "snowy_owl"), (("n1",), ("n2",), ("n3",)))


def source(labels: list[int] | None, classes: tuple[str, ...] | None = None) -> ImageSource:
    count = 4 if labels is None else len(labels)
    images = np.zeros((count, 2, 2), np.uint8)
    return ImageSource(ArrayReader(images, "set"), "set", None if labels is None else np.array(labels), classes)


def labels_of(fitted: Fitted) -> list[int]:
    assert fitted.source.labels is not None
    return fitted.source.labels.tolist()


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (("cat", "dog", "snowy_owl"), [0, 1, 2], [0, 1, 2]),
        (("snowy_owl", "cat", "dog"), [0, 1, 2], [2, 0, 1]),
        (("Snowy Owl", "CAT"), [0, 1, 1], [2, 0, 0]),
        (("n3", "n1"), [0, 1], [2, 0]),
        (("cat", "emu"), [0, 0], [0, 0]),
    ],
    ids=["same", "another order", "one missing, spelled otherwise", "wnids", "a name that no image has"],
)
def test_by_name_where_both_have_names(classes, labels, expected) -> None:
    fitted = fit_labels(source(labels, classes), MODEL, 3)
    assert (labels_of(fitted), fitted.by, fitted.remark) == (expected, "name", None)
    assert fitted.source.classes == MODEL.names
    again = fit_labels(fitted.source, MODEL, 3)
    assert labels_of(again) == expected


@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [
        (("cat", "emu"), [0, 1], r"set: 1 of its 2 classes are none of the model: 'emu'; rename or"),
        (("cat", "snow_owl"), [0, 1], r"'snow_owl' \(close to it: snowy_owl\).*--classes FILE"),
        (
            ("a", "b", "c"),
            [0, 1, 2],
            r"\(a, b, c\) have no name in common with those of the model \(cat, dog, snowy_owl\)",
        ),
        (("a", "b", "c"), [0, 1, 2], r"--classes FILE \(classes=...\).*--labels index"),
        (("0", "1", "2"), [0, 1, 2], "no name in common"),
        (("cat", "Cat"), [0, 1], "'cat' and 'Cat' both mean 'cat', class 0"),
    ],
)
def test_names_that_the_model_does_not_have_are_refused(classes, labels, message) -> None:
    with pytest.raises(LabelError, match=message):
        fit_labels(source(labels, classes), MODEL, 3)


def test_a_name_that_means_two_classes_is_refused() -> None:
    crane = ClassNames(("crane", "crane", "dog"))
    with pytest.raises(LabelError, match="'crane' is the name of the classes 0 and 1"):
        fit_labels(source([0, 1], ("crane", "dog")), crane, 3)


@pytest.mark.parametrize("known", [None, MODEL])
def test_numbers_stay_numbers(known) -> None:
    fitted = fit_labels(source([2, 0, 2]), known, 3)
    assert (labels_of(fitted), fitted.by, fitted.source.classes) == ([2, 0, 2], "index", known and known.names)


@pytest.mark.parametrize("known", [None, MODEL])
@pytest.mark.parametrize("by", ["name", "index"])
def test_numbers_beyond_the_outputs_are_refused(known, by) -> None:
    with pytest.raises(LabelError, match=r"labels 0 to 2, .* found up to 199, beyond that in 1 of 3 images"):
        fit_labels(source([2, 0, 199]), known, 3, by)


def test_numbers_that_count_from_one_are_said_to() -> None:
    with pytest.raises(LabelError, match="they count from 1: take 1 off each"):
        fit_labels(source([2, 1, 3]), None, 3, "name")


def test_only_the_source_has_names() -> None:
    fitted = fit_labels(source([1, 0], ("a", "b", "c")), None, 3)
    assert (labels_of(fitted), fitted.by, fitted.source.classes) == ([1, 0], "order", ("a", "b", "c"))
    assert fitted.remark == "the model's classes have no names: the 3 of set are taken in its order (a, b, c)"
    with pytest.raises(
        LabelError, match=r"it has 2 classes \(a, b\), and the model 3, which have no names.*--classes FILE"
    ):
        fit_labels(source([1, 0], ("a", "b")), None, 3)


def test_names_that_are_numbers_mean_these_classes() -> None:
    fitted = fit_labels(source([0, 1], ("3", "7")), None, 10)
    assert (labels_of(fitted), fitted.by) == ([3, 7], "index")
    ten = tuple(map(str, range(10)))
    fitted = fit_labels(source([3, 7], ten), None, 10)
    assert (labels_of(fitted), fitted.source.classes, fitted.remark) == ([3, 7], ten, None)


def test_numbers_in_the_order_of_text_may_mean_either() -> None:
    """ImageFolder counts the folders 0, 1, 10, 11, 2, ... in this order; others mean the number."""
    names = tuple(sorted(map(str, range(12))))
    with pytest.raises(LabelError, match=r"class 10 may be the model's class 10 or 2; say --labels index"):
        fit_labels(source([2], names), None, 12)
    fitted = fit_labels(source([2], names), None, 12, "index")
    assert (labels_of(fitted), fitted.source.classes) == ([10], tuple(map(str, range(12))))
    assert labels_of(fit_labels(source([2], names), ClassNames(names), 12)) == [2]


def test_by_index_takes_places() -> None:
    fitted = fit_labels(source([1, 0], ("a", "b")), MODEL, 3, "index")
    assert (labels_of(fitted), fitted.by, fitted.source.classes) == ([1, 0], "index", MODEL.names)
    with pytest.raises(LabelError, match="labels 0 to 2"):
        fit_labels(source([3], ("a", "b", "c", "d")), MODEL, 3, "index")


@pytest.mark.parametrize("given", [source(None), source([1, 0], ("a", "b"))])
def test_without_labels(given) -> None:
    fitted = fit_labels(given, MODEL, 3, "none")
    assert (fitted.source.labels, fitted.by) == (None, None)
    assert fit_labels(source(None), MODEL, 3).by is None


def test_one_output_has_two_classes() -> None:
    two = ClassNames(("no", "yes"))
    assert labels_of(fit_labels(source([0, 1], ("yes", "no")), two, 1)) == [1, 0]
    assert labels_of(fit_labels(source([0, 1]), None, 1)) == [0, 1]
    with pytest.raises(LabelError, match="labels 0 to 1, one for each of the model's 2 classes"):
        fit_labels(source([0, 2]), None, 1)


def test_wnids_of_all_of_imagenet_are_in_its_order(data_dir: Path) -> None:
    from bitwright.class_files import read_classes

    index = read_classes(data_dir / "imagenet-samples" / "imagenet_class_index.json")
    wnids = tuple(other[0] for other in index.others)
    for known in (None, ClassNames(index.names)):
        fitted = fit_labels(source([5], wnids), known, 1000)
        assert (labels_of(fitted), fitted.by) == ([5], "order")
        assert "wnids of ImageNet-1k" in (fitted.remark or "")
    with pytest.raises(LabelError, match="no name in common"):
        fit_labels(source([5], wnids[1:]), ClassNames(index.names), 1000)


def test_the_names_that_a_source_has_to_give() -> None:
    assert names_for(source([0], ("a", "b", "c")), 3) == ("a", "b", "c")
    assert names_for(source([0], ("a", "b")), 3) is None
    assert names_for(source([0], ("no", "yes")), 1) == ("no", "yes")
    assert names_for(source([0]), 3) is None
    assert names_for(source([0], ("0", "1", "2")), 3) == ("0", "1", "2")
    assert names_for(source([0], ("1", "0", "2")), 3) is None


def test_numbers_that_count_from_one_are_no_classes_by_their_place() -> None:
    """The folders 1, 10, 2, 3, ... of ten classes."""
    names = tuple(sorted(str(i) for i in range(1, 11)))
    with pytest.raises(LabelError, match=r"numbers up to 10, the model has 10, 0 to 9, .* nobody knows"):
        fit_labels(source([0], names), None, 10)
    counted = tuple(str(i) for i in range(1, 11))
    assert labels_of(fit_labels(source([9, 0], counted), None, 10)) == [9, 0]


def test_what_can_be_done_is_what_would_help() -> None:
    """Places are offered where there are as many classes; of folders 1 to N, names that make them these classes."""
    with pytest.raises(LabelError, match=r"mean nothing to the model; .* --labels index") as found:
        fit_labels(source([0], ("x", "y", "z")), MODEL, 3)
    with pytest.raises(LabelError, match=r"mean nothing to the model; .* or do without labels") as found:
        fit_labels(source([0], ("x", "y")), MODEL, 3)
    assert "--labels index" not in str(found.value)
    with pytest.raises(
        LabelError, match=r"count from 1: .* the names 1 to 3, a line each, with --classes FILE"
    ) as found:
        fit_labels(source([2, 0], ("1", "2", "3")), MODEL, 3)
    named = ClassNames(("1", "2", "3"))
    assert labels_of(fit_labels(source([2, 0], ("1", "2", "3")), named, 3)) == [2, 0]


@pytest.mark.parametrize("by", ["names", None, "Index"])
def test_ways_to_match_that_there_are_not(by) -> None:
    with pytest.raises(LabelError, match=r"expected labels to be one of 'name', 'index', 'none', found"):
        fit_labels(source([0]), None, 2, by)


@pytest.mark.parametrize("names", [("05", "5"), ("1", "01", "2"), ("0", "00")])
def test_names_that_are_one_number_twice_are_no_numbers(names: tuple[str, ...]) -> None:
    """They would be one class: the folders are classes by their place, and nobody is told numbers."""
    labels = list(range(len(names)))
    fitted = fit_labels(source(labels, names), None, len(names))
    assert (labels_of(fitted), fitted.by, fitted.source.classes) == (labels, "order", names)
    assert "taken in its order" in (fitted.remark or "")
    assert labels_of(fit_labels(source(labels, names), None, len(names), "index")) == labels
    assert names_for(source(labels, names), len(names)) == names
