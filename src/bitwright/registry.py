"""`Registry`: a table of named things of one kind, which other distributions can add to without editing this package.

Ours come first and keep their names. Others are registered by a call, or are entry points of installed distributions: those
are looked for when a name is none of ours, and imported when that name is used. So a plugin that is broken stops nobody else.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bitwright.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
GROUP = "bitwright."
"""The prefix that, with a kind behind it, names the group of that kind's entry points."""
NAME = re.compile(r"[A-Za-z0-9_.+-]+")


@dataclass(frozen=True)
class Foreign:
    """Where a thing that is not ours comes from; the distribution is known where an entry point led to it."""

    kind: str
    name: str
    module: str
    distribution: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        return f"the {self.kind} {self.name!r} of {self.home}"

    @property
    def home(self) -> str:
        """The distribution, or else the module."""
        return self.module if self.distribution is None else f"{self.distribution} {self.version}"

    def to_json(self) -> dict[str, str]:
        record = {"kind": self.kind, "name": self.name, "module": self.module}
        if self.distribution is not None and self.version is not None:
            record |= {"distribution": self.distribution, "version": self.version}
        return record

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Foreign":
        """What `to_json` wrote. TypeError or KeyError where it is something else."""
        kind, name, module = (str(data[key]) for key in ("kind", "name", "module"))
        found = {key: str(data[key]) for key in ("distribution", "version") if key in data}
        return cls(kind, name, module, **found)


class Registry(Mapping[str, T], Generic[T]):
    """A table of one kind; what iterates over it sees ours, then those registered by call, then entry points.

    Attributes:
        kind: what one of them is called, in messages, by `bitwright.register`, and in the group of entry points.
        ours: those of this package; nothing else can have their names.
    """

    def __init__(
        self,
        kind: str,
        ours: Mapping[str, T],
        check: Callable[[str, Any], T],
        defined_by: Callable[[Any], object] = lambda thing: thing,
    ) -> None:
        """`check` gets the name and the thing of somebody else, and returns it, or raises PluginError.

        `defined_by` is what tells whose module a thing is of: itself, or its class, unless it is an object of a class of ours.
        """
        self.kind = kind
        self.ours = dict(ours)
        self._check, self._defined_by = check, defined_by
        self._added: dict[str, tuple[T, Foreign]] = {}

    def __getitem__(self, name: str) -> T:
        """KeyError where nobody has the name; PluginError where it is of a plugin that is broken, or of two."""
        return self.ours[name] if name in self.ours else self._foreign(name)[0]

    def __contains__(self, name: object) -> bool:
        return name in self.ours or name in self._added or name in self._offered()

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*self.ours, *self._added, *self._offered()))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def foreign(self) -> list[str]:
        """The names that are not ours."""
        return [name for name in self if name not in self.ours]

    def usable(self) -> dict[str, T]:
        """All that can be used: plugins that are broken are left out."""
        found = dict(self.ours)
        for name in self.foreign():
            try:
                found[name] = self[name]
            except PluginError:  # whoever asks for it by name is told
                continue
        return found

    def origin(self, name: str) -> Foreign | None:
        """Where the thing of this name comes from; None where it is bitwright's."""
        return None if name in self.ours else self._foreign(name)[1]

    def add(self, name: Any, thing: object) -> None:
        """Register a thing that is not ours.

        PluginError where it is none of this kind, or the name is ours or somebody else's. What is defined again, as in a
        notebook, takes the place of what it was before.
        """
        module = _module_of(self._defined_by(thing))
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PluginError(
                f"{self.kind} of {module}: expected a name of letters, digits and any of _ . + -, found {name!r:.100}"
            )
        if name in self.ours:
            raise PluginError(f"the {self.kind} {name!r} is one of bitwright's own; give yours another name")
        if name in self._added and self._added[name][1].module != module:
            raise PluginError(
                f"there is {self._added[name][1]} already, and {module} wants to register another; rename one of the two"
            )
        self._added[name] = self._check(name, thing), Foreign(self.kind, name, module)

    def _foreign(self, name: str) -> tuple[T, Foreign]:
        if name not in self._added:
            self._added[name] = self._loaded(name)
        return self._added[name]

    def _offered(self) -> dict[str, list["EntryPoint"]]:
        """The entry points of this kind by name, without those that have names of ours."""
        found = _entry_points(GROUP + self.kind, tuple(sys.path))
        return {name: points for name, points in found.items() if name not in self.ours}

    def _loaded(self, name: str) -> tuple[T, Foreign]:
        points = self._offered().get(name, [])
        if not points:
            raise KeyError(name)
        if len(points) > 1:
            offered = " and ".join(_distribution(point)[0] for point in points)
            raise PluginError(f"{offered} both have a {self.kind} {name!r}; uninstall one of them")
        (point,) = points
        foreign = Foreign(self.kind, name, point.value, *_distribution(point))
        try:
            thing = point.load()
        except Exception as error:  # a plugin may raise anything as it is imported
            raise PluginError(
                f"{foreign} cannot be loaded ({point.value}): {type(error).__name__}: {error}; mend it or uninstall it: "
                "nothing else needs it"
            ) from error
        try:
            return self._check(name, thing), foreign
        except PluginError as error:
            raise PluginError(f"{foreign.home}: {error}") from error


def instance_of(kind: type[T], name: str, thing: object, what: str) -> T:
    """`thing`, or an object of it where it is a class, that is a `kind` and has this name; PluginError where it is not.

    `what` is how messages call one.
    """
    made = thing
    if isinstance(thing, type):
        try:
            made = thing()
        except Exception as error:  # whatever its constructor raises; of an abstract class, TypeError
            raise PluginError(f"the {what} {name!r}: {_module_of(thing)}() failed: {error}") from error
    if not isinstance(made, kind):
        raise PluginError(
            f"the {what} {name!r}: expected a {kind.__module__}.{kind.__qualname__}, or a class of such, found {thing!r:.100}"
        )
    expect_name(name, made, what)
    return made


def expect_name(name: str, thing: object, what: str) -> None:
    """Raise PluginError unless the thing's own name is this one."""
    if getattr(thing, "name", None) != name:
        raise PluginError(
            f"the {what} {name!r} calls itself {getattr(thing, 'name', None)!r:.100}; its `name` has to be the same"
        )


def _module_of(thing: object) -> str:
    """Where a thing or its class is defined, as module:name."""
    defined: Any = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{defined.__module__}:{defined.__qualname__}"


def _distribution(point: "EntryPoint") -> tuple[str, str]:
    return ("an unknown distribution", "?") if point.dist is None else (point.dist.name, point.dist.version)


@lru_cache(maxsize=16)
def _entry_points(group: str, path: tuple[str, ...]) -> dict[str, list["EntryPoint"]]:
    """The entry points of a group by name, of the distributions on this path; nothing of theirs is imported."""
    from importlib.metadata import entry_points  # here and not above: what uses no plugin does not wait for it

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found
