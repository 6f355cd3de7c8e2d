"""`Named`: an option whose value is a name in one of the tables, plugins among them; these are looked for only when asked."""

from typing import Any

import click

from bitwright.errors import did_you_mean
from bitwright.registry import Registry


class Named(click.ParamType):  # type: ignore[type-arg]  # only newer clicks take an argument
    name = "name"

    def __init__(self, table: Registry[Any]) -> None:
        self.table = table

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self.table)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.table:
            return value
        return self.fail(
            f"{value!r} is not one of {', '.join(self.table)}{did_you_mean(value, self.table)}", param, ctx
        )
