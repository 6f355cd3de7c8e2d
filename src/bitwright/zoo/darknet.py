"""Tiny Darknet (Redmon): 3x3 and 1x1 convolutions with leaky relu, for ImageNet."""

from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.images.preprocess import Preprocess
from bitwright.zoo.preprocessed import preprocessed

POOL = "pool"
PLAN: tuple[tuple[int, int] | str, ...] = (
    *((16, 3), POOL, (32, 3), POOL, (16, 1), (128, 3), (16, 1), (128, 3), POOL),
    *((32, 1), (256, 3), (32, 1), (256, 3), POOL, (64, 1), (512, 3), (64, 1), (512, 3), (128, 1)),
)


class DarknetTiny(nn.Module):
    """The plan as one Sequential, then a 1x1 classifier and a global average."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for step in PLAN:
            if isinstance(step, str):
                layers.append(nn.MaxPool2d(2, 2))
                continue
            planes, kernel = step
            conv = nn.Conv2d(inputs, planes, kernel, padding=kernel // 2, bias=False)
            layers.append(nn.Sequential(conv, nn.BatchNorm2d(planes, eps=1e-3), nn.LeakyReLU(0.1)))
            inputs = planes
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(inputs, 1000, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.classifier(self.features(x)), 1).flatten(1)


@preprocessed(Preprocess(size=224, resize=256))
def darknet_tiny() -> nn.Module:
    """Tiny Darknet, 1.04 M parameters."""
    return DarknetTiny()
