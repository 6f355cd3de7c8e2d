"""`preprocessor_config.json`, which Hugging Face's models have beside their weights, as a `Preprocess`. Nothing is fetched."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitwright.errors import ModelError, PreprocessError
from bitwright.images.preprocess import Preprocess
from bitwright.json_keys import each_key_once

FILE = "preprocessor_config.json"
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
"""PIL's numbers."""
SHORTEST_EDGE = ("CLIP", "ConvNext", "EfficientFormer", "Levit", "MobileNet", "MobileViT", "PoolFormer", "Siglip")
"""How the names of processors begin for which one number as `size` is the shorter side; for others it is a square."""
SMALL_CONVNEXT = 384
"""ConvNext's processor crops pictures of fewer pixels than this, and stretches them to this or more."""


def read_config(folder: Path) -> Preprocess | None:
    """The preprocessing in a folder's `preprocessor_config.json`; None where there is none, or it is none of ours.

    Raises:
        ModelError: the file is there, but cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text("utf-8"), object_pairs_hook=each_key_once)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"cannot read {path}: {error}; mend or remove it, and give --size, --mean and --std"
        ) from error
    return preprocess_of(config) if isinstance(config, Mapping) else None


def preprocess_of(config: Mapping[str, Any]) -> Preprocess | None:
    """The preprocessing that a config describes; None where it does what a `Preprocess` cannot."""
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    try:
        size, resize = _sizes(config, kind)
        normalised = config.get("do_normalize", True)
        return Preprocess(
            size=size,
            resize=resize,
            mean=_numbers(config["image_mean"]) if normalised else 0.0,
            std=_numbers(config["image_std"]) if normalised else 1.0,
            scale=config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0,
            mode="BGR" if config.get("do_flip_channel_order", kind.startswith("MobileViT")) else "RGB",
            interpolation=RESAMPLE[config.get("resample", 2)],
        )
    except (KeyError, TypeError, ValueError, PreprocessError):
        return None


def _sizes(config: Mapping[str, Any], kind: str) -> tuple[tuple[int, int], int | tuple[int, int] | None]:
    """(size, resize) of a `Preprocess`. KeyError, TypeError, ValueError where nothing fixes the size of what comes out."""
    resized = config.get("do_resize", True)
    size = config["size"]
    shorter = (
        size.get("shortest_edge") if isinstance(size, Mapping) else size if kind.startswith(SHORTEST_EDGE) else None
    )
    if kind.startswith("ConvNext") and "crop_size" not in config:
        if shorter is not None and shorter < SMALL_CONVNEXT:
            return (shorter, shorter), int(shorter / config.get("crop_pct", 224 / 256))
        shorter = shorter or _pair(size)[0]
        return (shorter, shorter), (shorter, shorter)
    if config.get("do_center_crop", "crop_size" in config):
        crop = _pair(config["crop_size"])
        if not resized:
            raise ValueError("a crop of pictures of any size")
        return crop, int(shorter) if shorter is not None else _pair(size)
    if not resized or shorter is not None:
        raise ValueError("pictures keep their shape, and are not cropped")
    return _pair(size), _pair(size)


def _pair(size: Any) -> tuple[int, int]:
    return (int(size["height"]), int(size["width"])) if isinstance(size, Mapping) else (int(size), int(size))


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(float(number) for number in value)
