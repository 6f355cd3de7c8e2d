"""What is known of a model's preprocessing by what lies beside its weights, or hangs on the model itself."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitwright.class_files import class_names
from bitwright.files import read_bytes
from bitwright.images.preprocess import Preprocess
from bitwright.json_keys import each_key_once
from bitwright.models import huggingface
from bitwright.models.hubs import timm_preprocess
from bitwright.models.loaded import LoadedModel

Known = tuple[Preprocess, str]
"""A preprocessing, and where it comes from."""


def with_preprocess(loaded: LoadedModel, weights: Path | None) -> LoadedModel:
    """The model with the preprocessing of its weights, which goes before what its place knows of the architecture.

    A factory's own `preprocess` stays. After it come: `preprocessor_config.json` beside the weights; timm's `pretrained_cfg`
    in a `config.json` beside them; the same two of the model itself (a folder that it was loaded from, its attribute).
    """
    if loaded.is_settled:
        return loaded
    found = None if weights is None else beside(weights.parent)
    if found is None and loaded.preprocess is None:
        found = of_model(loaded.model)
    return loaded if found is None else replace(loaded, preprocess=found[0], preprocess_from=found[1])


def with_classes(loaded: LoadedModel) -> LoadedModel:
    """The model with the names that its `config.id2label` has, as Hugging Face's models do; LABEL_0 and up are none."""
    named = getattr(getattr(loaded.model, "config", None), "id2label", None)
    if loaded.classes is not None or not isinstance(named, Mapping) or not named:
        return loaded
    if all(isinstance(name, str) and re.fullmatch(r"LABEL_\d+", name) for name in named.values()):
        return loaded
    return replace(loaded, classes=class_names(named, f"{loaded.name}, config.id2label"))


def beside(folder: Path) -> Known | None:
    """What the files of a folder with weights say."""
    if (found := huggingface.read_config(folder)) is not None:
        return found, str(folder / huggingface.FILE)
    path = folder / "config.json"
    try:
        config = json.loads(read_bytes(path).decode(), object_pairs_hook=each_key_once)
    except (OSError, ValueError, RecursionError):
        return None  # a file of anyone's: nothing is known by it
    return _timm(config.get("pretrained_cfg") if isinstance(config, Mapping) else None, f"{path}, pretrained_cfg")


def of_model(model: Any) -> Known | None:
    """What a model says of itself: one of timm has a `pretrained_cfg`, one of transformers the folder that it came from."""
    folder = getattr(getattr(model, "config", None), "_name_or_path", None)
    if isinstance(folder, str) and folder and (found := huggingface.read_config(Path(folder))) is not None:
        return found, str(Path(folder) / huggingface.FILE)
    return _timm(getattr(model, "pretrained_cfg", None), "the model's pretrained_cfg")


def _timm(config: Any, where: str) -> Known | None:
    if not isinstance(config, Mapping):
        return None
    try:
        found = timm_preprocess(config)
    except (KeyError, TypeError, ValueError):
        return None  # another thing of the same name
    return None if found is None else (found, where)
