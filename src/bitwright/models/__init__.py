"""Float models by name: `load_model("torchvision:resnet18", "weights.safetensors")`.

A file for each place that a model may come from, one for weights; `load.py` has the table. `float_models.py` says what a float
model is to the rest.
"""

from bitwright.errors import MissingExtraError

try:
    import torch as _  # noqa: F401 - so that whoever lacks it is told what to install
except ImportError as error:
    raise MissingExtraError("torch", "torch") from error

from bitwright.models.float_models import FloatModel, GraphModel, TorchModel, float_model
from bitwright.models.load import load_model
from bitwright.models.loaded import LoadedModel

__all__ = ["FloatModel", "GraphModel", "LoadedModel", "TorchModel", "float_model", "load_model"]
