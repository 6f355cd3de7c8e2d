"""`register`: add a scheme, an algorithm, an encoder, a kind of source or a mapping without editing this package.

The same can be said by an entry point of an installed distribution, in the group `bitwright.KIND`; see docs/plugins.md.
"""

import importlib
from typing import Any

from bitwright.errors import MissingExtraError, PluginError, did_you_mean
from bitwright.registry import Registry

TABLES = {
    "scheme": ("bitwright.schemes", "SCHEMES"),
    "range": ("bitwright.algorithms.ranges", "RANGES"),
    "correction": ("bitwright.algorithms.correction", "CORRECTIONS"),
    "training": ("bitwright.algorithms.training", "TRAINING"),
    "encoder": ("bitwright.images.encoders", "ENCODERS"),
    "source": ("bitwright.images.sources.kinds", "KINDS"),
    "mapping": ("bitwright.capture.aten", "ATEN"),
    "onnx_op": ("bitwright.capture.onnx.table", "OPS"),
}
"""Where the table of each kind is; imported when it is asked for, since some need torch, and one ONNX."""
EXTRAS = {"torch": "torch", "onnx": "onnx", "onnx_ir": "onnx"}
"""The modules that tables need, and the extras of bitwright that bring them."""


def table(kind: str) -> Registry[Any]:
    """The table of a kind. PluginError for an unknown kind, MissingExtraError where it needs what is not installed."""
    if kind not in TABLES:
        raise PluginError(f"expected a kind of {', '.join(TABLES)}, found {kind!r:.100}{did_you_mean(kind, TABLES)}")
    module, name = TABLES[kind]
    try:
        found: Registry[Any] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        raise MissingExtraError(missing, EXTRAS[missing]) from error
    return found


def register(kind: str, thing: Any, name: str | None = None) -> None:
    """Add something to the table of its kind, for this process: recipes, options and messages know it from then on.

    Args:
        kind: "scheme", "range", "correction", "training", "encoder", "source", "mapping", of an ATen op to ours, or
            "onnx_op", of an op in ONNX files to PyTorch's.
        thing: what docs/plugins.md says of the kind: an object, or its class.
        name: what it is called where it does not say so itself: for a mapping and an onnx_op, the op, such as
            "aten.channel_shuffle.default" and "com.acme.Saturate".

    Raises:
        PluginError: it is none of that kind, or the name is one of bitwright's or somebody else's.
        MissingExtraError: the kind needs torch or onnx, which is not installed.
    """
    table(kind).add(getattr(thing, "name", None) if name is None else name, thing)
