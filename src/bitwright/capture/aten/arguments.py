"""How the arguments of an ATen op are read: by position or name, with defaults, numbers as pairs."""

from collections.abc import Callable
from typing import Any

from bitwright.capture.program import Fx, Program
from bitwright.capture.windows import Pair

Mapping = Callable[[Program, Fx], Any]
"""What an fx node of a program stands for: the name of a value, or of several, or a constant."""


def args(fx: Fx, *defaults: Any) -> list[Any]:
    """The arguments of an fx node, by position or name, the last ones filled in from `defaults`."""
    names = [a.name for a in fx.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names, fx.args, strict=False)) | dict(fx.kwargs)
    required = len(names) - len(defaults)
    return [given.get(name, defaults[i - required] if i >= required else None) for i, name in enumerate(names)]


def pair(value: Any) -> Pair:
    values = [value] if isinstance(value, int) else list(value)
    return (values[0], values[-1])
