"""`Gates`: the bounds that a model must keep, as a TOML file says them.

    judge = "interval"           # or "point": what of a measured figure has to keep its bound
    max_drop = 0.5               # points of accuracy, below the float model on the same images
    min_agreement = 99.0         # percent of the images that get the float model's class
    max_class_drop = 3.0         # points, of the class that loses most
    max_bytes = 300_000          # of the file
    max_latency_ratio = 1.05     # to the baseline, measured in turns in the same run
    require_signature = true     # by a key that is trusted

A gate may be judged by something else than the others: `max_drop = { bound = 0.5, judge = "point" }`.
"""

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from bitwright.errors import GateError, did_you_mean
from bitwright.files import read_bytes

Judge = Literal["interval", "point"]
JUDGES = get_args(Judge)


@dataclass(frozen=True)
class Kind:
    """One kind of gate: the least and the greatest bound that make sense, and what must be given to measure it."""

    lowest: float
    highest: float
    needs: str | None = None
    unit: str = ""
    is_exact: bool = False


KINDS: Mapping[str, Kind] = {
    "max_drop": Kind(-100, 100, "images", "points"),
    "min_agreement": Kind(0, 100, "images", "%"),
    "max_class_drop": Kind(-100, 100, "images", "points"),
    "max_bytes": Kind(1, math.inf, unit="bytes", is_exact=True),
    "max_latency_ratio": Kind(0, math.inf, "baseline", "times"),
    "require_signature": Kind(1, 1, "keys", is_exact=True),
}
"""Every kind of gate, by its key in the file, in the order of the table that is printed."""


@dataclass(frozen=True)
class Gate:
    """One bound.

    Attributes:
        name: a key of `KINDS`.
        bound: what may not be passed.
        judge: "interval": the whole interval that was measured has to keep the bound; "point": the measured value has to.
        line: of the file that it stands in, from 1; None where it comes from no file.
    """

    name: str
    bound: float
    judge: Judge = "interval"
    line: int | None = None

    @property
    def kind(self) -> Kind:
        """What is known of gates of this name."""
        return KINDS[self.name]


@dataclass(frozen=True)
class Gates:
    """At least one gate, and the file that they come from.

    Raises:
        GateError: there is no gate, or two of the same name.
    """

    gates: tuple[Gate, ...]
    where: str = "gates"

    def __post_init__(self) -> None:
        if not self.gates:
            raise GateError(f"{self.where}: expected at least one gate of {', '.join(KINDS)}; found none")

    @property
    def needs(self) -> frozenset[str]:
        """What has to be given to judge them: "images", with a float model; "baseline"; "keys" that are trusted."""
        return frozenset(gate.kind.needs for gate in self.gates if gate.kind.needs)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Gates":
        """Read a TOML file.

        Raises:
            GateError: it cannot be read, is no TOML, or has a key or a value that means nothing.
        """
        try:
            text = read_bytes(path).decode()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise GateError(f"cannot read the gates of {os.fspath(path)}: {why}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, where: str = "gates") -> "Gates":
        """Read the text of such a file; `where` names it in errors. Raises GateError as `load` does."""
        try:
            found = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # a number of too many digits, brackets too deep
            raise GateError(f"{where}: expected TOML such as 'max_drop = 0.5': {error}") from error
        default = _judge(found.pop("judge", "interval"), f"{where}: judge")
        gates = [_gate(name, value, default, where, _line(text, name)) for name, value in found.items()]
        return cls(tuple(sorted((g for g in gates if g), key=lambda gate: list(KINDS).index(gate.name))), where)


def _gate(name: str, value: Any, judge: Judge, where: str, line: int | None) -> Gate | None:
    """The gate that a line says; None where it says that there is none: `require_signature = false`."""
    at = where if line is None else f"{where}, line {line}"
    known = (*KINDS, "judge")
    if name not in KINDS:
        raise GateError(f"{at}: {name!r} is no gate{did_you_mean(name, known)}; expected some of {', '.join(known)}")
    if name == "require_signature":
        if not isinstance(value, bool):
            raise GateError(f"{at}: expected {name} to be true or false, found {value!r:.100}")
        return Gate(name, 1, judge, line) if value else None
    if isinstance(value, dict):
        for key in value:
            if key not in ("bound", "judge"):
                near = did_you_mean(key, ("bound", "judge"))
                raise GateError(f"{at}: {name} has no {key!r}{near}; expected a bound and, perhaps, a judge")
        judge = _judge(value.get("judge", judge), f"{at}: {name}.judge")
        value = value.get("bound")
    return Gate(name, _bound(name, value, at), judge, line)


def _bound(name: str, value: Any, at: str) -> float:
    kind, is_number = KINDS[name], isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not kind.lowest <= value <= kind.highest or not math.isfinite(value):
        span = f"{kind.lowest:g} to {kind.highest:g}" if math.isfinite(kind.highest) else f"of at least {kind.lowest:g}"
        raise GateError(f"{at}: expected {name} to be a number {span} ({kind.unit}), found {value!r:.100}")
    return float(value)


def _judge(value: Any, at: str) -> Judge:
    if value not in JUDGES:
        near = did_you_mean(value, JUDGES)
        raise GateError(f"{at}: expected one of {', '.join(map(repr, JUDGES))}, found {value!r:.100}{near}")
    return cast(Judge, value)


def _line(text: str, key: str) -> int | None:
    """The line that a top-level key stands in, bare, quoted or as the head of a table."""
    name = re.escape(key)
    found = re.search(rf"""^\s*\[?\s*(?:{name}|"{name}"|'{name}')\s*[\].=]""", text, re.MULTILINE)
    return None if found is None else text.count("\n", 0, found.end()) + 1
