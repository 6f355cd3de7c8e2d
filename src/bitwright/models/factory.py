"""`package.module:factory`: anything that can be imported and called, without arguments, and returns a module.

Its attributes `preprocess` and `classes`, where it has them, say what the images go through (the factories of `bitwright.zoo`
do) and what the classes are called.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

from torch import nn

from bitwright.class_files import class_names
from bitwright.errors import BitwrightError, ModelError, did_you_mean
from bitwright.images.preprocess import Preprocess
from bitwright.models.loaded import LoadedModel


def load_factory(spec: str) -> LoadedModel:
    """Import the module, also from the current directory, and call the factory. This runs the code that `spec` names.

    Raises:
        ModelError: it can't be imported or called, or it returns something else than a module.
    """
    module_name, _, path = spec.partition(":")
    with _current_directory_importable():
        factory = _find(spec, module_name, path)
        try:
            model = factory()
        except BitwrightError:
            raise
        except Exception as error:  # somebody else's code raises what it likes
            raise ModelError(f"{spec}: calling it failed: {_describe(error)}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec}: expected it to return a torch.nn.Module, found {type(model).__name__}")
    preprocess = getattr(factory, "preprocess", None)
    if preprocess is not None and not isinstance(preprocess, Preprocess):
        raise ModelError(
            f"{spec}: expected its preprocess to be a bitwright.Preprocess, found {type(preprocess).__name__}"
        )
    classes = getattr(factory, "classes", None)
    return LoadedModel(
        spec,
        model,
        preprocess,
        None if classes is None else class_names(classes, spec),
        preprocess_from=None if preprocess is None else f"{spec}.preprocess",
        is_settled=preprocess is not None,
    )


def _find(spec: str, module_name: str, path: str) -> Any:
    try:
        module = importlib.import_module(module_name)
    except BitwrightError:
        raise
    except Exception as error:  # likewise
        meant = "" if not module_name.endswith(".py") else f"; did you mean {_dotted(module_name)}:{path}?"
        raise ModelError(
            f"{spec}: cannot import {module_name or 'a module without a name'}: {_describe(error)}{meant}"
        ) from error
    try:
        factory = reduce(getattr, path.split("."), module)
    except AttributeError as error:
        near = did_you_mean(path, [name for name, value in vars(module).items() if callable(value)])
        raise ModelError(
            f"{spec}: the module {module_name} has no {path or 'attribute without a name'}{near}"
        ) from error
    if not callable(factory):
        raise ModelError(f"{spec}: expected something to call that returns the model, found {type(factory).__name__}")
    return factory


def _dotted(file: str) -> str:
    """The module that a file's path means, from the current directory."""
    return ".".join(os.path.normpath(file.removesuffix(".py")).split(os.sep))


@contextmanager
def _current_directory_importable() -> Iterator[None]:
    """Put the current directory behind all others for a while, so that nothing in it hides what is installed."""
    here = os.getcwd()
    sys.path.append(here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.reverse()  # remove the one that was added, the last
        sys.path.remove(here)
        sys.path.reverse()


def _describe(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
