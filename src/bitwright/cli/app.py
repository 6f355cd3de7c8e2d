"""The command `bitwright`: its table of subcommands, each imported when it is used, and what becomes of errors."""

import importlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import click

from bitwright import __version__
from bitwright.cli.exit_codes import exit_code
from bitwright.cli.output import printable, report, warnings_reported
from bitwright.errors import BitwrightError, did_you_mean
from bitwright.images.image_limits import MAX_PIXELS, VARIABLE

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
COMMANDS = (
    "audit",
    "bench",
    "check",
    "classify",
    "compare",
    "completion",
    "evaluate",
    "export",
    "inspect",
    "keygen",
    "quantize",
    "report",
    "search",
    "sensitivity",
    "serve",
    "sign",
    "train",
    "verify",
    "zoo",
)
"""Each is a module of this package that has a command of the same name."""


SHARED = {"evaluate", "quantize", "train"}
"""Those that the processes of torchrun do together."""


class Commands(click.Group):
    """The table of subcommands. Only the one that runs is imported: it makes a third of the time to the first answer."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return cast(click.Command, getattr(importlib.import_module(f"bitwright.cli.{cmd_name}"), cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not (near := did_you_mean(args[0], COMMANDS)):
                raise
            raise click.UsageError(f"{error.message.removesuffix('.')}{near}", ctx) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bitwright", message="%(prog)s %(version)s")
@click.option(
    "--max-pixels",
    envvar=VARIABLE,
    default=MAX_PIXELS,
    show_default=True,
    metavar="N",
    type=click.IntRange(1),
    help=f"Refuse larger pictures, before they are decoded; else ${VARIABLE}.",
)
@click.pass_context
def bitwright(context: click.Context, max_pixels: int) -> None:
    """Make few-bit integer models of PyTorch image classifiers; evaluate, run and inspect them without PyTorch."""
    if "WORLD_SIZE" in os.environ and context.invoked_subcommand not in SHARED:
        from bitwright.cli.ranks import expect_alone

        expect_alone(str(context.invoked_subcommand))
    context.with_resource(_environment(VARIABLE, str(max_pixels)))
    context.with_resource(_without_pillows_limit())


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Pillow refuses pictures of 179 million pixels whatever the option says, and warns of half as many."""
    from PIL import Image  # every command but the help needs it

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable for this command and the processes that it starts."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


_OUT_OF_MEMORY = ("DefaultCPUAllocator: ", "std::bad_alloc", "CUDA out of memory")
"""How PyTorch says so, in a RuntimeError."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` where no arguments are given) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a class name that the locale can't spell is no error
    try:
        with warnings_reported():
            code = bitwright.main(arguments, prog_name="bitwright", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        report("interrupted")
        return INTERRUPTED
    except BitwrightError as error:
        report(f"error: {error}")
        return exit_code(error)
    except MemoryError as error:
        report(f"error: out of memory{f': {error}' if str(error) else ''}")
        return 1
    except RuntimeError as error:
        if not any(said in str(error) for said in _OUT_OF_MEMORY):
            raise
        report(f"error: out of memory: {str(error).partition(chr(10))[0]}")
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        report(f"error: {printable(where)}{error.strerror or error}")
        return exit_code(error)
    return code if isinstance(code, int) else 0
