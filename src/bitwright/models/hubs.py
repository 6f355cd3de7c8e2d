"""`torchvision:NAME` and `timm:NAME`: models of the two big collections, without their weights. Nothing is downloaded."""

import difflib
import importlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from bitwright.classes import ClassNames
from bitwright.errors import MissingExtraError, ModelError
from bitwright.images.preprocess import Preprocess
from bitwright.images.resize import INTERPOLATIONS
from bitwright.models.loaded import LoadedModel

# Their extra heads are for training alone, and both would spend a minute on random weights.
_TORCHVISION_ARGUMENTS = {name: {"aux_logits": False, "init_weights": False} for name in ("googlenet", "inception_v3")}


def load_torchvision(spec: str) -> LoadedModel:
    """Make a classifier of torchvision. Its preprocessing is that of the first weights published for it, mostly
    224 pixels out of 256.

    Raises:
        ModelError: there is no such classifier, or torchvision belongs to another PyTorch.
        MissingExtraError: torchvision is not installed.
    """
    models = _import("torchvision.models", "torchvision")
    name = spec.removeprefix("torchvision:")
    names = models.list_models(module=models)
    if name not in names:
        raise _unknown(spec, name, names)
    published = next(iter(models.get_model_weights(name)))
    transforms = published.transforms()
    preprocess = Preprocess(
        size=transforms.crop_size[0],
        resize=transforms.resize_size[0],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )
    model = models.get_model(name, weights=None, **_TORCHVISION_ARGUMENTS.get(name, {}))
    classes = ClassNames(tuple(published.meta["categories"]), where=spec)
    return LoadedModel(spec, model, preprocess, classes, f"the transforms of torchvision's {published}")


def load_timm(spec: str) -> LoadedModel:
    """Make a model of timm; what it says of its weights of that name gives the preprocessing.

    Raises:
        ModelError: there is no such model, or timm does not load.
        MissingExtraError: timm is not installed.
    """
    timm = _import("timm", "timm")
    name = spec.removeprefix("timm:")
    if not timm.is_model(name):
        raise _unknown(spec, name, timm.list_models())
    model = timm.create_model(name, pretrained=False)
    preprocess = timm_preprocess(model.pretrained_cfg)
    known = None if preprocess is None else "timm's pretrained_cfg"
    return LoadedModel(spec, model, preprocess, _timm_classes(spec, model), known)


def _timm_classes(spec: str, model: Any) -> ClassNames | None:
    """The names and wnids that timm has for the data set of a model's weights; None where it knows none."""
    data = _import("timm.data", "timm")
    subset = data.infer_imagenet_subset(model)
    if subset is None:
        return None
    info = data.ImageNetInfo(subset)
    names = tuple(info.index_to_description(i) for i in range(info.num_classes()))
    return ClassNames(names, tuple((wnid,) for wnid in info.label_names()), spec)


def timm_preprocess(config: Mapping[str, Any]) -> Preprocess | None:
    """The preprocessing that timm evaluates with, from a `pretrained_cfg`; None where it is none of ours."""
    channels, height, width = config["input_size"]
    interpolation = config.get("interpolation") or "bicubic"
    crop_mode = config.get("crop_mode") or "center"
    if channels not in (1, 3) or interpolation not in INTERPOLATIONS or crop_mode not in ("center", "squash"):
        return None
    crop = config.get("crop_pct") or 0.875
    squash = crop_mode == "squash" or height != width
    return Preprocess(
        size=(height, width),
        resize=(int(height / crop), int(width / crop)) if squash else int(height / crop),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        mode="RGB" if channels == 3 else "L",
        interpolation=interpolation,
    )


def _import(module: str, extra: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(extra, extra) from error
    except RuntimeError as error:
        raise ModelError(
            f"torchvision is installed but does not load ({error}): it was built for another PyTorch than the "
            f"{torch.__version__} here; install the torchvision that belongs to it"
        ) from error


def _unknown(spec: str, name: str, names: Iterable[str]) -> ModelError:
    close = difflib.get_close_matches(name, names, n=5)
    return ModelError(f"{spec}: no such model" + (f"; close to it: {', '.join(close)}" if close else ""))
