"""Float networks for the tests of capture and of equality, and the comparison of their integers, layer by layer."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from bitwright import zoo
from bitwright.artifact import from_bytes
from bitwright.engine import Engine
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import convert

TORCHVISION = (
    *("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "vgg11_bn", "squeezenet1_1", "googlenet", "densenet121"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "shufflenet_v2_x1_0", "efficientnet_b0"),
    *("mnasnet1_0", "regnet_y_400mf"),
)
ZOO = (
    *("cifar_resnet18", "cifar_resnet20", "cifar_resnet20_proj", "cifar_resnet32", "cifar_resnet8"),
    *("cifar_react18", "cifar_react20", "cifar_nin", "mnist_lenet"),
)
NETWORKS = (*TORCHVISION, *ZOO)

ARGUMENTS = {"googlenet": {"aux_logits": False, "init_weights": False}}


Forward = Callable[["Parts", Tensor], Tensor]


class Parts(nn.Module):
    """Layers to build a small forward of, for images of 6 x 6."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.a, self.b = (nn.Conv2d(n, 4, 3, padding=1) for n in (3, 4, 4))
        self.wide = nn.Conv2d(7, 4, 1)
        self.norm, self.other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.image_norm = nn.BatchNorm2d(3)
        self.fc, self.fc2, self.flat = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(108, 4)
        self.norm1d = nn.BatchNorm1d(4)
        for norm in (self.norm, self.other, self.image_norm, self.norm1d):
            nn.init.uniform_(norm.weight, -2, 2)
            nn.init.uniform_(norm.bias, -1, 1)
            assert norm.running_mean is not None
            norm.running_mean.uniform_(-1, 1)
        self.shift = nn.Parameter(torch.randn(1, 4, 1, 1))
        self.prelu = nn.PReLU(4, init=0.2)
        self.body = forward

    def forward(self, x: Tensor) -> Tensor:
        """Logits: of maps, their means."""
        y = self.body(self, x)
        return y.mean((2, 3)) if y.dim() == 4 else y


def network(name: str, torchvision: ModuleType) -> tuple[nn.Module, Preprocess]:
    """A network in random weights, in eval mode, and the preprocessing of a small picture for it."""
    torch.manual_seed(0)
    if name in ZOO:
        factory = getattr(zoo, name)
        model, preprocess = factory(), factory.preprocess
    else:
        model = torchvision.models.get_model(name, weights=None, **ARGUMENTS.get(name, {}))
        if (
            name == "vgg11_bn"
        ):  # 0.1 billion weights of linear layers, and 12 times the pixels, would say no more than these
            model.avgpool = nn.AdaptiveAvgPool2d(2)
            model.classifier[0], model.classifier[3] = nn.Linear(2048, 64), nn.Linear(64, 64)
            model.classifier[6] = nn.Linear(64, 1000)
        preprocess = Preprocess(size=64, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    randomise(model, preprocess)
    return model, preprocess


def pictures(preprocess: Preprocess, count: int, seed: int = 0) -> np.ndarray:
    """Random uint8 images [count, H, W, C] with some structure: blocks of colour, and noise on them."""
    rng = np.random.default_rng(seed)
    height, width, channels = preprocess.shape
    coarse = rng.integers(0, 256, (count, -(-height // 4), -(-width // 4), channels))
    blocks = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    return np.clip(blocks + rng.integers(-30, 31, blocks.shape), 0, 255).astype(np.uint8)


def randomise(model: nn.Module, preprocess: Preprocess) -> None:
    """Give every batch norm statistics near the real ones but not equal to them, and random gains of either sign."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    model.eval()
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model(torch.from_numpy(preprocess.normalise(pictures(preprocess, 4, seed=9))))
        for norm in norms:
            mean, var = norm.running_mean, norm.running_var
            assert mean is not None
            assert var is not None
            mean += 0.3 * torch.randn_like(mean) * (var + 1e-3).sqrt()
            var *= torch.empty_like(var).uniform_(0.6, 1.6)
            var.clamp_(min=0.1 * float(var.mean()))
            if norm.affine:
                sign = torch.where(torch.rand_like(var) < 0.2, -1.0, 1.0)
                norm.weight.copy_(sign * torch.empty_like(var).uniform_(0.5, 1.5))
                norm.bias.uniform_(-0.5, 0.5)
    model.eval()


def assert_equal_codes(prepared: PreparedModel, images: np.ndarray) -> dict[str, np.ndarray]:
    """The prepared model in eval mode and the engine, behind a round trip through bytes, agree on every value.

    Returns the values.
    """
    prepared.eval()
    engine = Engine(from_bytes(convert(prepared).data))
    expected = engine.trace(images)
    seen: list[str] = []

    def compare(name: str, value: torch.Tensor) -> None:
        seen.append(name)
        found = value.numpy()
        assert found.shape == expected[name].shape, name
        wrong = int((found != expected[name]).sum())
        assert wrong == 0, f"{name}: {wrong} of {found.size} differ"

    with torch.no_grad():
        logits = prepared(torch.from_numpy(prepared.preprocess.normalise(images))).numpy()
    assert logits.tobytes() == expected[engine.artifact.graph.output].tobytes()
    prepared.run_integers(torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, 3, 1))), compare)
    assert sorted(["input", *seen]) == sorted(expected)
    return expected
