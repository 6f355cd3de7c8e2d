"""The float networks to compare on, with random weights: speed does not depend on them, as long as codes stay spread out."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.with_torchvision import torchvision
from bitwright.images.preprocess import Preprocess
from bitwright.zoo.cifar_resnet import cifar_resnet20

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def _timm(name: str) -> nn.Module:
    from timm import create_model

    model: nn.Module = create_model(name)
    return model


TOKENS = {
    "vit_tiny": partial(_timm, "vit_tiny_patch16_224"),
    "deit_small": partial(_timm, "deit_small_patch16_224"),
    "vit_base": partial(_timm, "vit_base_patch16_224"),
    "swin_t": torchvision.models.swin_t,
    "convnext_tiny": torchvision.models.convnext_tiny,
    "efficientformer_l1": partial(_timm, "efficientformer_l1"),
    "mobilevit_s": partial(_timm, "mobilevit_s"),
}
"""Networks of tokens, with layer norms and GELU. Peers have settings of their own for them."""
MORE = {
    "shufflenet_v2": torchvision.models.shufflenet_v2_x1_0,
    "regnet_y_400mf": torchvision.models.regnet_y_400mf,
    "densenet121": torchvision.models.densenet121,
    "ghostnet": partial(_timm, "ghostnet_100"),
    "mobilenetv4_small": partial(_timm, "mobilenetv4_conv_small"),
}
"""Networks of moves, of groups, of many values side by side."""
FACTORIES = {
    "resnet18": torchvision.models.resnet18,
    "resnet50": torchvision.models.resnet50,
    "mobilenet_v2": torchvision.models.mobilenet_v2,
    "mobilenet_v3_large": torchvision.models.mobilenet_v3_large,
    "efficientnet_b0": torchvision.models.efficientnet_b0,
    "cifar_resnet20": cifar_resnet20,
    **MORE,
    **TOKENS,
}


SIDES = {"cifar_resnet20": 32, "mobilevit_s": 256}
"""Of images, where it is not 224."""


@dataclass(frozen=True)
class FloatNetwork:
    name: str
    model: nn.Module
    preprocess: Preprocess
    images: npt.NDArray[np.uint8]
    """Images to calibrate on, uint8 [N, H, W, 3]."""

    @property
    def of_tokens(self) -> bool:
        return self.name in TOKENS

    def normalized(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """What the float model and the peers eat: float32 [N, 3, H, W]."""
        mean, std = (np.array(IMAGENET[key], np.float32) for key in ("mean", "std"))
        scaled = (images.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def float_network(name: str, count: int = 8) -> FloatNetwork:
    torch.manual_seed(0)
    model = FACTORIES[name]().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.uniform_(module.weight, 0.7, 1.3)
    side = SIDES.get(name, 224)
    images = smooth_images(count, side)
    network = FloatNetwork(name, model, Preprocess(size=side, mean=IMAGENET["mean"], std=IMAGENET["std"]), images)
    settle_batch_norms(network)
    return network


def smooth_images(count: int, side: int) -> npt.NDArray[np.uint8]:
    """Noise at several sizes: closer to pictures than white noise."""
    noise = torch.zeros(count, 3, side, side)
    for cells in (2, 4, 8, 16):
        noise += nn.functional.interpolate(torch.randn(count, 3, cells, cells), side, mode="bilinear") / cells**0.5
    pixels = (128 + 60 * noise).clamp(0, 255).round().byte()
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())


def settle_batch_norms(network: FloatNetwork) -> None:
    """One pass in train mode, so that the running statistics are those of these weights."""
    norms = [module for module in network.model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        network.model(torch.from_numpy(network.normalized(network.images)))
    network.model.eval()
