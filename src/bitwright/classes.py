"""`ClassNames`: what the classes of a model are called, from a file, a list or an artifact; and which class a name means.

A name means the class that is called so, exactly; else the class that has it among its other names, such as a wnid; else
after capitals, underscores, hyphens and spaces are folded; else as one of the synonyms in "tench, Tinca tinca". A name that
means two classes at the first of these steps that knows it means none: it is an error.
"""

import difflib
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from bitwright.errors import LabelError, LabelWarning

_SHOWN = 6
_NEARLY_ALL = 0.95
"""So many names at their own places leave no doubt about the order, though one name stands for two classes."""


@dataclass(frozen=True)
class ClassNames:
    """The names of classes, in the order of their numbers.

    Fields:
        names: what each class is called.
        others: other names of each class; empty where there are none of any.
        where: who says so, for messages.
    """

    names: tuple[str, ...]
    others: tuple[tuple[str, ...], ...] = ()
    where: str = "the model"

    def __post_init__(self) -> None:
        if not self.names or not all(isinstance(name, str) for name in self.names):
            raise LabelError(f"{self.where}: expected a name for each class; found {self.names!r:.100}")
        for i, name in enumerate(self.names):
            if not name.strip() or (not name.isascii() and not _is_text(name)):
                raise LabelError(f"{self.where}: expected a name for class {i}, found {name!a}, which cannot be read")
        if self.others and len(self.others) != len(self.names):
            raise LabelError(
                f"{self.where}: expected other names for {len(self.names)} classes, found {len(self.others)}"
            )

    def __len__(self) -> int:
        return len(self.names)

    def find(self, name: str) -> int | None:
        """The class that a name means; None where it means none of them. LabelError where it means more than one."""
        for step, spell in zip(self._steps, _SPELLINGS, strict=True):
            if found := step.get(spell(name)):
                if len(found) == 1:
                    return next(iter(found))
                numbers = " and ".join(map(str, sorted(found)[:_SHOWN]))
                raise LabelError(
                    f"{name!r} is the name of the classes {numbers} of {self.where}; use names that are one class's alone"
                )
        return None

    def near(self, name: str) -> list[str]:
        """The names that are spelled most like it, three at most."""
        spelled = {_folded(known): known for i in range(len(self)) for known in self._all(i)}
        return [spelled[close] for close in difflib.get_close_matches(_folded(name), spelled, n=3)]

    def sample(self) -> str:
        """The first names, for a message."""
        return some(self.names)

    def _all(self, i: int) -> tuple[str, ...]:
        return (self.names[i], *(self.others[i] if self.others else ()))

    @cached_property
    def _steps(self) -> tuple[dict[str, set[int]], ...]:
        """For each way to look a name up, in order: the classes by name."""
        every = range(len(self))
        spelled = [(name, i) for i in every for name in self._all(i)]
        return (
            _by_name((name, i) for i, name in enumerate(self.names)),
            _by_name(spelled),
            _by_name((_folded(name), i) for name, i in spelled),
            _by_name((_folded(part), i) for name, i in spelled for part in name.split(",")),
        )


def _is_text(name: str) -> bool:
    """False for half of a surrogate pair, which no file can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def some(names: Iterable[str]) -> str:
    """The first few of some names, for a message."""
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + (f", ... ({len(listed):,} in all)" if len(listed) > _SHOWN else "")


def named_anew(own: ClassNames | None, given: ClassNames, count: int) -> ClassNames:
    """The names that a model of `count` classes gets from `given`, where it perhaps has names of its `own`.

    Class i is called what `given` calls its class i, unless that knows every one of the model's own names, in another order:
    then each class is called what `given` calls the class of that name. Own names remain as other names.
    Raises LabelError where neither is possible, or where some own names are at other indices and some are missing; gives a
    LabelWarning where names in another order change nothing.
    """
    where = given.where
    indices = [None if own is None else _own_index(own, given, i) for i in range(len(given))]
    if own is not None and {*range(len(own))} <= {*indices} and indices != [*range(count)]:
        return _joined(own, given, indices)
    missing = [] if own is None else [name for i, name in enumerate(own.names) if i not in indices]
    if len(given) != count:
        unknown = f"; it has none for {some(missing)}" if 0 < len(missing) < count else ""
        raise LabelError(
            f"{where}: expected a name for each of the model's {count:,} classes, found {len(given):,} ({given.sample()})"
            + unknown
        )
    moved = next((i for i, own_index in enumerate(indices) if own_index not in (None, i)), None)
    in_place = sum(own_index == i for i, own_index in enumerate(indices))
    if moved is not None and not (_ambiguous(given, indices) and in_place >= _NEARLY_ALL * count):
        raise LabelError(
            f"{where}: {given.names[moved]!r} is class {moved} here and class {indices[moved]} of the model, whose "
            f"{some(missing)} this does not name; so it is neither the model's classes in another order nor new names. "
            "Name all of the model's classes, or take its own names away first: artifact.with_classes(None).with_classes(...)"
        )
    before = own.names if own is not None else ()
    others = tuple((*given._all(i)[1:], *before[i : i + 1]) for i in range(count))
    return ClassNames(given.names, others, where)


def _ambiguous(given: ClassNames, indices: list[int | None]) -> bool:
    """Whether every name that is out of place is one that `given` has for several classes, as ImageNet's two cranes."""
    times = Counter(given.names)
    return all(times[given.names[i]] > 1 for i, own_index in enumerate(indices) if own_index not in (None, i))


def _own_index(own: ClassNames, given: ClassNames, i: int) -> int | None:
    """Which of the model's own classes the class i of `given` is."""
    for name in given._all(i):
        try:
            found = own.find(name)
        except LabelError:
            continue
        if found is not None:
            return found
    return None


def _joined(own: ClassNames, given: ClassNames, indices: list[int | None]) -> ClassNames:
    names, others = list(own.names), [list(own._all(i)) for i in range(len(own))]
    for i, own_index in enumerate(indices):
        if own_index is not None:
            names[own_index] = given.names[i]
            others[own_index] += given._all(i)[1:]
    if tuple(names) == own.names and all(set(found) == set(own._all(i)) for i, found in enumerate(others)):
        warnings.warn(
            f"{given.where}: these are the model's own class names in another order; each class keeps its name. To exchange "
            "names, take them away first: artifact.with_classes(None).with_classes(...)",
            LabelWarning,
            stacklevel=3,
        )
    return ClassNames(tuple(names), tuple(tuple(dict.fromkeys(each)) for each in others), given.where)


def _exact(name: str) -> str:
    return name


def _folded(name: str) -> str:
    """A name without what spellings differ in: capitals, underscores, hyphens, spaces, and how accents are composed."""
    text = unicodedata.normalize("NFC", name).casefold()
    return " ".join(text.replace("_", " ").replace("-", " ").split())


_SPELLINGS = (_exact, _exact, _folded, _folded)


def _by_name(pairs: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for name, i in pairs:
        found.setdefault(name, set()).add(i)
    return found
