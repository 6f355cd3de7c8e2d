"""`load_model`, and the table of the places that a model may come from."""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from bitwright.errors import ModelError
from bitwright.images.preprocess import Preprocess
from bitwright.models.factory import load_factory
from bitwright.models.hubs import load_timm, load_torchvision
from bitwright.models.known import with_classes, with_preprocess
from bitwright.models.loaded import LoadedModel
from bitwright.models.onnx_file import load_onnx
from bitwright.models.pt2 import load_pt2
from bitwright.models.weights import load_weights


@dataclass(frozen=True)
class Place:
    """A place that models come from: what a spec of it looks like, whether one is, and how to load it."""

    looks_like: str
    accepts: Callable[[str], bool]
    load: Callable[[str], LoadedModel]
    has_weights: bool = False


PLACES = (
    Place("a .pt2 file, written by torch.export.save", lambda spec: spec.endswith(".pt2"), load_pt2, True),
    Place("a .onnx file", lambda spec: spec.lower().endswith(".onnx"), load_onnx, True),
    Place("torchvision:NAME", lambda spec: spec.startswith("torchvision:"), load_torchvision),
    Place("timm:NAME", lambda spec: spec.startswith("timm:"), load_timm),
    Place("package.module:factory, something to call that returns the model", lambda spec: ":" in spec, load_factory),
)


def load_model(spec: str | PathLike[str], weights: str | PathLike[str] | None = None) -> LoadedModel:
    """Load a float model, on the CPU and in eval mode.

    `spec` is one of PLACES. Without `weights` (a safetensors file, or one of torch.save that holds tensors and plain values)
    a model keeps those that it was made with: random ones from torchvision and timm, which are never asked to download.

    Raises:
        ModelError: there is no such model, it can't be made, or the weights don't fit it.
        MissingExtraError: torchvision or timm is not installed.
    """
    text = str(spec)
    for place in PLACES:
        if place.accepts(text):
            loaded = place.load(text)
            break
    else:
        expected = "\n  ".join(place.looks_like for place in PLACES)
        raise ModelError(f"{text}: not the name of a model; expected one of:\n  {expected}{_advice(text)}")
    if weights is not None:
        if place.has_weights or not isinstance(loaded.model, nn.Module):
            raise ModelError(f"{text} holds its own weights; leave {weights} out")
        load_weights(loaded.model, Path(weights), text)
    if isinstance(loaded.model, nn.Module):
        loaded.model.eval()
    return with_classes(with_preprocess(loaded, None if weights is None else Path(weights)))


def of_file(model: Any, preprocess: Preprocess) -> tuple[Any, Preprocess]:
    """The float model of a .onnx file and the preprocessing of its network, where `model` is the path of one.

    Anything else is returned as it is.
    """
    if not isinstance(model, str | PathLike) or not str(model).lower().endswith(".onnx"):
        return model, preprocess
    loaded = load_model(model)
    return loaded.float_model, preprocess if loaded.stem is None else loaded.stem.behind(preprocess)


def _advice(text: str) -> str:
    """What to do with the name of a file that is no model."""
    suffixes = [suffix.lower() for suffix in Path(text).suffixes]
    if suffixes[-2:] == [".bw", ".safetensors"]:
        return f"\n{text} looks like an artifact, an integer model already; bitwright evaluate, classify and inspect take it"
    if set(suffixes) & set(WEIGHTS):
        return (
            f"\n{text} looks like a file of weights: give it as --weights {text}, and the network that they belong to as the "
            "model, such as torchvision:resnet18 or my_module:make_model"
        )
    return ""


WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".tar")
