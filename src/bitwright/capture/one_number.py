"""Elementwise ops that together are one function of one number: x / (1 + abs(x)) is one table, and is rounded once.

Capture tells `Elementwise` of every value that an elementwise op computes. Ops that have a mapping of their own keep it (a relu
is the bounds of the convolution in front of it), unless their operands are functions of one and the same value.
"""

from dataclasses import replace
from typing import Any

from bitwright.capture.draft import Constant
from bitwright.capture.program import Fx, Program
from bitwright.capture.well_known import as_known
from bitwright.ops.function import Result, Step
from bitwright.ops.functions import FUNCTIONS


class Elementwise:
    """Which values are elementwise functions of which others. In the steps here, operands are values by name, as `_Name`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._steps: dict[str, Step] = {}
        self._sources: dict[str, set[str]] = {}
        self._functions: dict[str, str] = {}

    def step(self, fx: Fx) -> Step | None:
        """The elementwise op of an fx node on values and numbers; None where it is something else."""
        name = str(fx.target).removeprefix("aten.").split(".")[0]
        if name not in FUNCTIONS:
            return None
        args = tuple(self._operand(arg) for arg in fx.args)
        kwargs = {key: self._operand(arg) for key, arg in fx.kwargs.items()}
        step = Step(name, args, kwargs)
        return step if _values(step) and _Unknown not in (*args, *kwargs.values()) else None

    def _operand(self, arg: Any) -> Any:
        if not isinstance(arg, Fx):
            return arg if isinstance(arg, int | float | str | None) else _Unknown
        found = self._program.env.get(arg)
        if isinstance(found, str):
            return _Name(found)
        if isinstance(found, Constant) and found.array.size == 1 and not found.learned:
            return found.array.reshape(())[()]
        return _Unknown

    def source(self, step: Step, *, mapped: bool) -> str | None:
        """The value that a step shall be a function of; None where its own mapping does as well, or there is no such value."""
        values = _values(step)
        common = set.intersection(*(self._sources.get(name, {name}) for name in values))
        if len(values) == 1 and mapped and values[0] not in self._functions:
            return None
        order = [name for name in self._program.builder.values if name in common]
        return self._functions.get(order[-1], order[-1]) if order else None

    def emit(self, step: Step, source: str) -> str:
        """A node that computes the step, and all that lie between it and `source`, in one."""
        index, steps = {source: 0}, list[Step]()

        def resolved(step: Step) -> Step:
            for name in _values(step):
                if name not in index:
                    steps.append(resolved(self._steps[name]))
                    index[name] = len(steps)
            return replace(step, args=tuple(Result(index[arg]) if isinstance(arg, _Name) else arg for arg in step.args))

        steps.append(resolved(step))
        name = self._program.builder.function(source, as_known(steps))
        self._functions[name] = source
        return name

    def record(self, name: str, step: Step) -> None:
        """Note that a step has become the value `name`."""
        self._steps[name] = step
        self._sources[name] = {name} | set.intersection(*(self._sources.get(v, {v}) for v in _values(step)))


class _Name(str):
    """The name of a value, where a plain string would be an argument such as approximate="tanh"."""

    __slots__ = ()


class _Unknown:
    """Stands for an argument that is neither a value nor a number."""


def _values(step: Step) -> list[str]:
    return list(dict.fromkeys(arg for arg in step.args if isinstance(arg, _Name)))
