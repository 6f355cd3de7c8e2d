"""`Finite`: an option whose value is a number within bounds; NaN, which no comparison refuses, and infinity are none."""

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """click's range of numbers, and no other values than numbers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"expected a finite number, found {value}", param, ctx)
