"""What a command needs, asked for before any work is done: what may not be installed, and where its files go."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bitwright.artifact_file.parts import lone_surrogate
from bitwright.cli.exit_codes import MisuseError, misuse
from bitwright.cli.output import report
from bitwright.errors import MissingExtraError, RecipeError
from bitwright.files import expect_writable
from bitwright.recipe import Recipe

EXTRAS = {
    "fastapi": "serve",
    "httptools": "serve",
    "jinja2": "report",
    "onnx": "onnx",
    "onnxruntime": "peers",
    "openvino": "peers",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "scipy": "search",
    "tomli_w": "torch",
    "torch": "torch",
    "uvicorn": "serve",
    "uvloop": "serve",
}
"""For each module, the extra that installs it."""


def expect_modules(*modules: str) -> None:
    """Raise MissingExtraError, which says what to install, for the first of these modules that is not there."""
    for module in modules:
        if not _is_installed(module):
            raise MissingExtraError(module, EXTRAS[module])


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def expect_recipe(spec: str, **changes: Any) -> Recipe:
    """The recipe, with changes. RecipeError where one of the algorithms that it names is unknown; needs torch."""
    from bitwright.algorithms.correction import corrections
    from bitwright.algorithms.ranges import range_algorithm
    from bitwright.algorithms.training import training_algorithm

    recipe = replace(Recipe.parse(spec), **changes)
    try:
        range_algorithm(recipe.range)
        corrections(recipe.algorithms)
        if recipe.training is not None:
            training_algorithm(recipe.training)
    except RecipeError as error:
        raise RecipeError(f"recipe {spec!r}: {error}") from error
    return recipe


def _expect_text() -> None:
    """Raise MisuseError where an option names something by bytes that are no text: no artifact could say where it was."""
    context = click.get_current_context(silent=True)
    for parameter in context.command.params if context is not None else ():
        given = context.params.get(parameter.name or "") if context is not None else None
        for value in given if isinstance(given, tuple | list) else (given,):
            if isinstance(value, str) and lone_surrogate(value):
                raise MisuseError(
                    f"{parameter.opts[0]}: {value!a} is no text in UTF-8, so no file could tell of it; rename it"
                )


def _files_read(outputs: tuple[Path, ...]) -> list[tuple[str, Path]]:
    """The files among the options of the command that runs, and which option each is. A spec such as a.npz[::2] names one."""
    context = click.get_current_context(silent=True)
    found = []
    for parameter in context.command.params if context is not None else ():
        given = context.params.get(parameter.name or "") if context is not None else None
        for value in given if isinstance(given, tuple | list) else (given,):
            if isinstance(value, str | Path) and not any(value is output for output in outputs):
                path = Path(str(value).partition("[")[0])
                if path.is_file():
                    found.append((f"the file of {parameter.opts[0]}", path))
    return found


def expect_outputs(*outputs: Path) -> None:
    """Raise MisuseError where one of these cannot be written, or is a file that the command reads.

    Of each that is there, say that it will be replaced.
    """
    _expect_text()
    expect_not_read(*outputs)
    for path in outputs:
        if path.exists():
            report(f"note: {path} exists, and will be replaced")


def expect_not_read(*outputs: Path) -> None:
    """Raise MisuseError where one of these cannot be written, or is a file that the command reads, or another of these."""
    for i, path in enumerate(outputs):
        with misuse():
            expect_writable(path)
        for name, other in [*_files_read(outputs), *(("another output", other) for other in outputs[:i])]:
            if path == other or (path.exists() and other.exists() and path.samefile(other)):
                raise MisuseError(f"cannot write {path}: it is {name} as well; choose another path")
