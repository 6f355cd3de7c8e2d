"""`fit_labels`: a source's labels as the classes of a model. Everything that compares labels with logits gets them here.

Labels with names are matched by name with a model that has names, so that neither the order of folders nor a class that is
missing changes what a label means. Labels that are numbers are the numbers of classes. All is checked before any image is read.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from bitwright.artifact_file.storable import expect_storable
from bitwright.classes import ClassNames, some
from bitwright.errors import ArtifactError, LabelError
from bitwright.images.sources import ImageSource
from bitwright.prediction import class_count

By = Literal["name", "index", "none"]
Order = npt.NDArray[np.int64]
IMAGENET_WNIDS = "791ce0333040dd249d13133f90d28ef0263ffc01e5de0afd85b3e32048d7d456"
"""SHA-256 of the 1,000 wnids of ImageNet-1k, sorted, with spaces between them. Their order is that of its classes."""


@dataclass(frozen=True)
class Fitted:
    """A source with the model's classes for labels.

    Fields:
        source: the images; its labels are 0..classes-1, or None.
        by: "name", "index" or "order": what its labels were taken by; None where there are none.
        remark: what was taken for granted, for people; None where nothing was.
    """

    source: ImageSource
    by: str | None
    remark: str | None = None


def fit_labels(source: ImageSource, known: ClassNames | None, outputs: int, by: By = "name") -> Fitted:
    """The source with its labels as classes of a model with so many `outputs`, called as `known` says.

    `by` is "name": by name where labels have names, else they are numbers; "index": the number that a name is, else its place
    among the source's names; "none": without labels. A name that no image has need not be known to the model.
    Raises LabelError where a label is no class of the model, or nobody knows which.
    """
    if by not in get_args(By):
        raise LabelError(f"expected labels to be one of {', '.join(map(repr, get_args(By)))}, found {by!r}")
    if by == "none" or source.labels is None:
        return Fitted(replace(source, labels=None), None)
    count = class_count(outputs)
    if source.classes is None:
        return Fitted(_ordered(source, None, known, count), "index")
    if by == "index":
        numbers = _numbers(source.classes)
        order = np.arange(len(source.classes)) if numbers is None else numbers
        return Fitted(_ordered(source, order, known, count), "index")
    return _by_name(source, source.classes, known, count)


def names_for(source: ImageSource, outputs: int) -> tuple[str, ...] | None:
    """The class names that a model without any can take from a source: one for each class, in an order that is no guess."""
    names = source.classes
    if names is None or len(names) != class_count(outputs):
        return None
    numbers = _numbers(names)
    if numbers is not None and (numbers != np.arange(len(names))).any():
        return None
    return storable(ClassNames(names, where=source.where)).names


def storable(names: ClassNames) -> ClassNames:
    """The same names; LabelError, which says where they come from, unless the file of an artifact can hold them."""
    try:
        expect_storable(classes=names.names)
    except ArtifactError as error:
        raise LabelError(f"{names.where}: {error}") from error
    return names


def names_taken(source: ImageSource, outputs: int) -> ClassNames | None:
    """The same as `ClassNames`: what the labels of other sources are matched with."""
    names = names_for(source, outputs)
    return None if names is None else ClassNames(names, where=source.where)


def _by_name(source: ImageSource, names: tuple[str, ...], known: ClassNames | None, count: int) -> Fitted:
    if known is not None and _matches(source, names, known):
        return Fitted(_ordered(source, _matched(source, names, known), known, count), "name")
    if _is_imagenet(names) and count == len(names):
        remark = f"{source.where}: its classes are the wnids of ImageNet-1k, taken in their order"
        return Fitted(_ordered(source, np.arange(count), known, count), "order", remark)
    if known is not None:
        raise LabelError(
            f"{source.where}: its classes ({some(names)}) have no name in common with those of {known.where} "
            f"({known.sample()}), so its labels mean nothing to the model; {_ways(names, count)}"
        )
    return _by_order(source, names, count)


def _by_order(source: ImageSource, names: tuple[str, ...], count: int) -> Fitted:
    """The labels of a source that has names for its classes, where the model has none."""
    numbers, places = _numbers(names), np.arange(len(names))
    if numbers is not None and (numbers < count).all():
        if len(names) == count and (numbers != places).any():
            place = int(np.argmax(numbers != places))
            raise LabelError(
                f"{source.where}: its classes are called by numbers, and come in the order {some(names)}, so class "
                f"{names[place]} may be the model's class {numbers[place]} or {place}; say --labels index (labels='index') "
                f"for {numbers[place]}, or name the classes in the model's order with --classes FILE (classes=...)"
            )
        return Fitted(_ordered(source, numbers, None, count), "index")
    if numbers is not None and len(names) == count and (np.diff(numbers) < 0).any():
        raise LabelError(
            f"{source.where}: its classes are called by numbers up to {numbers.max()}, the model has {count:,}, "
            f"0 to {count - 1}, and they come in the order {some(names)}, "
            f"so nobody knows which is which; name the classes in the model's order with "
            "--classes FILE (classes=...), or call the folders 0 and up"
        )
    if len(names) != count:
        raise LabelError(
            f"{source.where}: it has {len(names):,} classes ({some(names)}), and the model {count:,}, which have no names, so "
            f"nobody knows which is which; {_ways(names, count)}"
        )
    remark = (
        f"the model's classes have no names: the {count:,} of {source.where} are taken in its order ({some(names)})"
    )
    return Fitted(_ordered(source, places, None, count), "order", remark)


def _ways(names: tuple[str, ...], count: int) -> str:
    """What can be done where nobody knows which class is which."""
    numbers = _numbers(names)
    if numbers is not None and numbers.min() > 0 and numbers.max() == count:
        return (
            f"they seem to count from 1: where 1 is the model's first class, give it the names 1 to {count}, a line each, with "
            "--classes FILE (classes=...), or do without labels: --labels none"
        )
    by_place = (
        ""
        if len(names) != count
        else (
            " or, where the source's order is the model's, take labels by their place with --labels index (labels='index'),"
        )
    )
    return (
        "name the model's classes, in its order and as the source calls them, with --classes FILE (classes=...),"
        f"{by_place} or do without labels: --labels none"
    )


def _matches(source: ImageSource, names: tuple[str, ...], known: ClassNames) -> bool:
    """Whether any of the names that images have is the model's."""
    return any(_is_known(name, known) for name in _used(source, names).values())


def _is_known(name: str, known: ClassNames) -> bool:
    try:
        return known.find(name) is not None
    except LabelError:
        return True  # it means two classes; `_matched` says which


def _matched(source: ImageSource, names: tuple[str, ...], known: ClassNames) -> Order:
    """The model's class of each of the source's names, -1 where no image needs it."""
    order = np.full(len(names), -1, np.int64)
    taken: dict[int, str] = {}
    unknown = []
    for i, name in _used(source, names).items():
        found = known.find(name)
        if found is None:
            unknown.append(name)
        elif found in taken:
            raise LabelError(
                f"{source.where}: its classes {taken[found]!r} and {name!r} both mean {known.names[found]!r}, class {found} of "
                f"{known.where}; give each the name of a class of its own"
            )
        else:
            order[i] = found
            taken[found] = name
    if unknown:
        near = "; ".join(f"{name!r}" + _near(name, known) for name in unknown[:3])
        raise LabelError(
            f"{source.where}: {len(unknown):,} of its {len(names):,} classes are none of {known.where}: {near}; rename or "
            f"remove them, or say what they are called with --classes FILE (classes=...)"
        )
    return order


def _near(name: str, known: ClassNames) -> str:
    near = known.near(name)
    return f" (close to it: {', '.join(near)})" if near else ""


def _used(source: ImageSource, names: tuple[str, ...]) -> dict[int, str]:
    """The class names that at least one image has, by number."""
    assert source.labels is not None
    return {int(i): names[i] for i in np.unique(source.labels)}


def _numbers(names: tuple[str, ...]) -> Order | None:
    """The names as numbers, int64, if all of them are different ones."""
    if not all(name.isascii() and name.isdecimal() and len(name) < 10 for name in names):
        return None
    numbers = np.array([int(name) for name in names], np.int64)
    return numbers if len(np.unique(numbers)) == len(numbers) else None


def _ordered(source: ImageSource, order: Order | None, known: ClassNames | None, count: int) -> ImageSource:
    """The source with the label `order[i]` in place of i, and the model's names, or its own where it has one for each."""
    assert source.labels is not None
    labels = source.labels if order is None else order[source.labels]
    if (beyond := labels >= count).any():
        from_one = labels.min() == 1 and labels.max() == count
        raise LabelError(
            f"{source.where}: expected labels 0 to {count - 1}, one for each of the model's {count:,} classes; found up to "
            f"{labels.max()}, beyond that in {int(beyond.sum()):,} of {len(source):,} images; "
            + ("they count from 1: take 1 off each" if from_one else "these are other classes than the model's")
        )
    names = known.names if known is not None else None
    if (
        names is None
        and source.classes is not None
        and order is not None
        and sorted(order.tolist()) == list(range(count))
    ):
        names = tuple(source.classes[i] for i in np.argsort(order))
    return replace(source, labels=labels, classes=names)


def _is_imagenet(names: tuple[str, ...]) -> bool:
    return hashlib.sha256(" ".join(names).encode()).hexdigest() == IMAGENET_WNIDS
