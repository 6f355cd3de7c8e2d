"""bitwright: float PyTorch image classifiers to few-bit integer models, to the bit the same wherever they run.

Importing bitwright imports no torch; the functions that need it (`quantize`, `prepare`, ...) import it when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from bitwright.artifact import Artifact, load
    from bitwright.audit.examine import examine
    from bitwright.budget.ladder import quantize_within
    from bitwright.budget.search import search
    from bitwright.budget.sensitivities import sensitivity
    from bitwright.classifier import Classifier
    from bitwright.engine import Engine
    from bitwright.evaluation import evaluate
    from bitwright.images.preprocess import Preprocess
    from bitwright.images.sources import open_source
    from bitwright.models import FloatModel, float_model
    from bitwright.plugins import register
    from bitwright.quantization import calibrate, convert, prepare, quantize
    from bitwright.recipe import Recipe
    from bitwright.records import Guess, Prediction
    from bitwright.training import prepare_qat, train

_HOMES = {
    "Artifact": "bitwright.artifact",
    "load": "bitwright.artifact",
    "quantize_within": "bitwright.budget.ladder",
    "search": "bitwright.budget.search",
    "sensitivity": "bitwright.budget.sensitivities",
    "Classifier": "bitwright.classifier",
    "Engine": "bitwright.engine",
    "evaluate": "bitwright.evaluation",
    "examine": "bitwright.audit.examine",
    "Preprocess": "bitwright.images.preprocess",
    "FloatModel": "bitwright.models",
    "float_model": "bitwright.models",
    "calibrate": "bitwright.quantization",
    "convert": "bitwright.quantization",
    "prepare": "bitwright.quantization",
    "quantize": "bitwright.quantization",
    "Recipe": "bitwright.recipe",
    "register": "bitwright.plugins",
    "Guess": "bitwright.records",
    "Prediction": "bitwright.records",
    "open_source": "bitwright.images.sources",
    "prepare_qat": "bitwright.training",
    "train": "bitwright.training",
}

__all__ = [
    "Artifact",
    "Classifier",
    "Engine",
    "FloatModel",
    "Guess",
    "Prediction",
    "Preprocess",
    "Recipe",
    "calibrate",
    "convert",
    "evaluate",
    "examine",
    "float_model",
    "load",
    "open_source",
    "prepare",
    "prepare_qat",
    "quantize",
    "quantize_within",
    "register",
    "search",
    "sensitivity",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bitwright' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from bitwright.errors import MissingExtraError

        raise MissingExtraError("torch", "torch") from error
