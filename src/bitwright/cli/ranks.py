"""What torchrun starts several of: one command line, of which rank 0 prints and writes."""

import io
from contextlib import redirect_stderr, redirect_stdout

import click

from bitwright.cli.output import usage_error
from bitwright.ranks import Ranks
from bitwright.scale import torchrun


def of_this_command() -> Ranks:
    """The ranks that run this command, until it ends. All but rank 0 are silent, but for errors."""
    context = click.get_current_context()
    ranks = context.with_resource(torchrun.ranks())
    if ranks.rank:
        context.with_resource(redirect_stdout(io.StringIO()))
        context.with_resource(redirect_stderr(io.StringIO()))
    return ranks


def expect_alone(command: str | None) -> None:
    """UsageError where torchrun started this command more than once."""
    if (size := torchrun.launched()) > 1:
        raise usage_error(
            f"torchrun started {size} processes, and `{command}` runs in one; quantize, train and evaluate share their work"
        )
