"""What a command needs, asked for before any work is done: what may not be installed, and where its files go."""

import importlib.util
from pathlib import Path

from bitwright.cli.output import report
from bitwright.errors import MissingExtraError
from bitwright.files import expect_writable

EXTRAS = {
    "fastapi": "serve",
    "httptools": "serve",
    "jinja2": "report",
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


def expect_outputs(*outputs: Path) -> None:
    """Raise ArtifactError where one of these cannot be written; say of each that is there that it will be replaced."""
    for path in outputs:
        expect_writable(path)
    for path in outputs:
        if path.exists():
            report(f"note: {path} exists, and will be replaced")
