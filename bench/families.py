"""Which networks `bench.coverage` tries, and how each is made: random weights, and images as small as its family allows.

torchvision: every classifier, and the smallest of each family in full. timm: the smallest network of each of its modules.
transformers: every class for image classification, from its configuration with fewer layers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench.timm_families import FEWER, SMALLEST
from bench.with_torchvision import torchvision

SIDES = (96, 128, 160, 192, 224, 240, 256, 320, 384, 448)
"""Images that are tried in turn, until the network takes them."""
TORCHVISION = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18"),
    *("resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16"),
    "wide_resnet50_2",
)
"""The smallest of each family."""
SMALLER = {"num_hidden_layers": 2, "num_labels": 10}
"""What a configuration of transformers is given, where it has such a field."""
STAGES = ("depths", "depth", "num_layers")
"""What configurations call the list of how many layers each stage has."""
LAYERS = 2
OUTSIDE = {
    "dinat": "needs the natten package",
    "imagegpt": "takes words of a palette, not pixels",
    "shieldgemma2": "takes text and images",
    "siglip2": "takes patches, their places and a mask: several inputs",
    "timm_wrapper": "is timm's networks",
}
"""Classes of transformers that are out of scope, and why."""


@dataclass(frozen=True)
class Case:
    """A network by its library, family and name. `in_full` is False where it is captured and nothing more."""

    library: str
    family: str
    name: str
    in_full: bool = True


def cases(library: str) -> Iterator[Case]:
    """Every network of a library that is tried."""
    if library == "torchvision":
        for name in torchvision.models.list_models(module=torchvision.models):
            module = torchvision.models.get_model_builder(name).__module__.rpartition(".")[2]
            yield Case(library, module, name, name in TORCHVISION)
    elif library == "timm":
        from timm.models import model_entrypoint

        for name in SMALLEST:
            yield Case(library, model_entrypoint(name).__module__.rpartition(".")[2], name)
    else:
        yield from (Case(library, key, name) for key, name in _transformers())


def _transformers() -> Iterator[tuple[str, str]]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    for key, names in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.items():
        yield from ((key, name) for name in ([names] if isinstance(names, str) else names))


def out_of_scope(case: Case) -> str:
    """Why a network is no classifier of one image; empty where it is one."""
    return OUTSIDE.get(case.family, "") if case.library == "transformers" else ""


def made(case: Case) -> tuple[nn.Module, int]:
    """The network, and the side of its images."""
    error: Exception | None = None
    for side in SIDES:
        torch.manual_seed(0)
        try:
            model = MAKERS[case.library](case, side).eval()
            with torch.no_grad():
                model(torch.zeros(1, 3, side, side))
        except Exception as found:  # noqa: BLE001 - a network says in its own way that it wants other images
            error = found
        else:
            return model, side
    raise ValueError(f"takes no square images of {SIDES[0]} to {SIDES[-1]}: {error}") from error


def _torchvision(case: Case, side: int) -> nn.Module:
    wanted: dict[str, Any] = {}
    if case.name.startswith("vit"):
        wanted = {"image_size": side}
    elif case.name.startswith("maxvit"):
        wanted = {"input_size": (side, side)}
    found: nn.Module = torchvision.models.get_model(case.name, weights=None, **wanted)
    return found


def _timm(case: Case, side: int) -> nn.Module:
    import timm

    fewer: dict[str, Any] = FEWER.get(case.name, {})
    try:
        found: nn.Module = timm.create_model(case.name, img_size=side, **fewer)
    except TypeError:  # it takes images of any size, or of one
        found = timm.create_model(case.name, **fewer)
    return found


def _of_transformers(case: Case, side: int) -> nn.Module:
    import transformers

    kind = getattr(transformers, case.name)
    found: nn.Module = kind(_smaller(kind.config_class(), side))
    return found


def _smaller(config: Any, side: int) -> Any:
    """A configuration with few layers, of images this large; also those inside it."""
    has_stages = any(isinstance(getattr(config, name, None), list | tuple) for name in STAGES)
    value: Any
    for name, value in SMALLER.items():
        if hasattr(config, name) and not (has_stages and name == "num_hidden_layers"):
            setattr(config, name, value)
    if hasattr(config, "num_cross_attention_heads"):  # of Perceiver: eight don't divide the channels of two of three
        config.num_cross_attention_heads = 1
    for name in STAGES:
        value = getattr(config, name, None)
        if isinstance(value, list | tuple) and all(isinstance(depth, int) for depth in value):
            setattr(config, name, [min(depth, max(LAYERS, stage)) for stage, depth in enumerate(value, 1)])
    if isinstance(getattr(config, "image_size", None), int | list | tuple):
        config.image_size = side if isinstance(config.image_size, int) else [side, side]
    for inner in ("vision_config", "backbone_config"):
        if getattr(config, inner, None) is not None:
            _smaller(getattr(config, inner), side)
    return config


MAKERS = {"torchvision": _torchvision, "timm": _timm, "transformers": _of_transformers}


def randomize(model: nn.Module) -> None:
    """Random numbers for parameters that begin as a constant, such as a layer scale of 1e-6 or a head of zeros."""
    for parameter in model.parameters():
        if parameter.is_floating_point() and bool((parameter == parameter.flatten()[0]).all()):
            is_gain = bool(parameter.flatten()[0] == 1)
            with torch.no_grad():
                parameter.copy_(1 + 0.1 * torch.randn_like(parameter) if is_gain else 0.1 * torch.randn_like(parameter))
