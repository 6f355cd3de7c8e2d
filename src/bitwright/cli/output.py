"""What the commands print: tables for people, JSON for programs, and remarks on stderr.

In a pipe the output depends on nothing but the results: no colours, no width of a terminal, no progress bar.
rich is imported by what uses it: to import it takes as long as to classify some images.
"""

import ctypes
import hashlib
import io
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from bitwright.errors import BitwrightWarning

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID
    from rich.table import Table
    from rich.text import Text

    from bitwright.images.sources import BadImage
    from bitwright.progress import Progress

SILENT_S = 30.0
"""Seconds after which a work says how far it is, where no terminal shows it."""
UNBOUNDED = 10_000  # columns: in a pipe, nothing is ever wrapped

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")


def print_json(document: Any) -> None:
    """Print a document, in ASCII, so that no locale and no terminal can change it."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; those whose value is None are left out."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value is not None:
            table.add_row(_cell(name), _cell(value))
    _print(table)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header; the columns whose name ends in `>` are flush right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(_cell(column.removesuffix(">")), justify="right" if column.endswith(">") else "left")
    for row in rows:
        table.add_row(*map(_cell, row))
    _print(table)


def report(text: str) -> None:
    """Print a remark on stderr, under the program's name."""
    click.echo("bitwright: " + printable(text, keep="\n"), err=True)


@contextmanager
def warnings_reported() -> Iterator[None]:
    """Print bitwright's own warnings as remarks, each time they are given."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", BitwrightWarning)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, BitwrightWarning):
                report(f"warning: {message}")
            else:
                others(message, category, *rest, **more)

        warnings.showwarning = show
        yield


def usage_error(text: str) -> click.UsageError:
    """What to raise where the options don't fit each other; exit code 2."""
    return click.UsageError(text, click.get_current_context())


def report_bad(bad: "Iterable[BadImage]") -> None:
    """Print the images that were left out, each with the reason, on stderr."""
    for image in bad:
        report(f"warning: left out {image.name}: {image.reason}")


def report_remarks(bad: "Iterable[BadImage]", *remarks: str | None) -> None:
    """Print the images that were left out, and what else has to be known of figures, on stderr."""
    report_bad(bad)
    for remark in filter(None, remarks):
        report(f"warning: {remark}")


@contextmanager
def shown() -> "Iterator[Progress]":
    """Show how far the work in this block is, on stderr: bars, if that is a terminal, else lines, also with --json.

    What the work says is reported, either way.
    """
    if not sys.stderr.isatty():
        yield _Lines()
        return
    with _bar() as bar:
        yield _Bars(bar)


class _Lines:
    """A line at every twentieth of a step that has details; of the others one where nothing was said for a while.

    So what is over soon says nothing, and who reads the log of a long work knows that it goes on.
    """

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._said_at = monotonic()

    def at(self, what: str, done: float, total: float, details: object = None) -> None:
        share = done / total if total else 1.0
        part = int(20 * share)
        due = monotonic() - self._said_at >= SILENT_S
        if due or (details is not None and part > self._told.get(what, -1)):
            self._told[what] = part
            self.say(f"{what}: {100 * share:.0f} %" + ("" if details is None else f", {details}"))

    def say(self, text: str) -> None:
        self._said_at = monotonic()
        report(text)


class _Bars:
    """A bar for each step, of hundredths where it is counted from 0 to 1."""

    def __init__(self, bar: "Bar") -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def at(self, what: str, done: float, total: float, details: object = None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what)
        whole = 100 if total == 1 else 1
        text = what if details is None else f"{what}: {details}"
        self._bar.update(self._tasks[what], completed=round(whole * done), total=whole * total, description=text)

    def say(self, text: str) -> None:
        report(text)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drop what C code writes to stdout: HiGHS has a remark left in it (jump-dev/HiGHS.jl, issue 312)."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def printable(text: str, keep: str = "") -> str:
    """The text with everything escaped that could steer a terminal: names in an artifact may come from anyone."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def percent(value: float | None) -> str | None:
    """12.34 %"""
    return None if value is None else f"{value:.2f} %"


def byte_count(count: int) -> str:
    """1,234,567 bytes"""
    return f"{count:,} bytes"


def shape(sizes: Iterable[int]) -> str:
    """3x32x32"""
    return "x".join(map(str, sizes))


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bar() -> "Bar":
    """A progress bar on stderr, which disappears when it is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _cell(value: object) -> "Text":
    from rich.text import Text

    return Text(printable("" if value is None else str(value)))


def _print(table: "Table") -> None:
    from rich.console import Console

    if sys.stdout.isatty():
        Console().print(table)
        return
    buffer = io.StringIO()
    Console(file=buffer, width=UNBOUNDED, color_system=None, force_terminal=False, legacy_windows=False).print(table)
    click.echo("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()))
