"""The networks people deploy, as integer graphs with random weights: what the engine's speed is tuned on without torch."""

from bitwright.graph import Graph
from tests.kernels.random_graph import RandomGraph


def resnet18(side: int = 224) -> Graph:
    g = RandomGraph((3, side, side))
    x = g.max_pool2d(g.conv2d("input", 64, 7, stride=(2, 2), zp=0), 3, 2, (1, 1, 1, 1))
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        x = _basic(g, _basic(g, x, width, stride), width, 1)
    return _head(g, x)


def resnet50(side: int = 224) -> Graph:
    g = RandomGraph((3, side, side))
    x = g.max_pool2d(g.conv2d("input", 64, 7, stride=(2, 2), zp=0), 3, 2, (1, 1, 1, 1))
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            x = _bottleneck(g, x, width, stride if block == 0 else 1, project=block == 0)
    return _head(g, x)


def resnet20(side: int = 32) -> Graph:
    """For CIFAR: 32 x 32."""
    g = RandomGraph((3, side, side))
    x = g.conv2d("input", 16, 3, zp=0)
    for width in (16, 32, 64):
        for block in range(3):
            x = _basic(g, x, width, 2 if width > 16 and block == 0 else 1)
    return _head(g, x, 10)


def mobilenet_v2(side: int = 224) -> Graph:
    g = RandomGraph((3, side, side))
    x = g.conv2d("input", 32, 3, stride=(2, 2), zp=0)
    x = g.conv2d(g.conv2d(x, 32, 3, groups=32, zp=0), 16, 1)
    for expand, width, blocks, stride in (
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for block in range(blocks):
            x = _inverted(g, x, expand * g.values[x].shape[0], width, 3, stride if block == 0 else 1)
    return _head(g, g.conv2d(x, 1280, 1, zp=0))


def mobilenet_v3_large(side: int = 224) -> Graph:
    g = RandomGraph((3, side, side))
    x = g.table(g.conv2d("input", 16, 3, stride=(2, 2)))
    settings = (
        # kernel, hidden, out, squeeze, hardswish, stride
        (3, 16, 16, 0, False, 1), (3, 64, 24, 0, False, 2), (3, 72, 24, 0, False, 1), (5, 72, 40, 24, False, 2),
        (5, 120, 40, 32, False, 1), (5, 120, 40, 32, False, 1), (3, 240, 80, 0, True, 2), (3, 200, 80, 0, True, 1),
        (3, 184, 80, 0, True, 1), (3, 184, 80, 0, True, 1), (3, 480, 112, 120, True, 1), (3, 672, 112, 168, True, 1),
        (5, 672, 160, 168, True, 2), (5, 960, 160, 240, True, 1), (5, 960, 160, 240, True, 1),
    )  # fmt: skip
    for kernel, hidden, out, squeeze, hardswish, stride in settings:
        x = _inverted(g, x, hidden, out, kernel, stride, squeeze, hardswish)
    x = g.flatten(g.global_avg_pool2d(g.table(g.conv2d(x, 960, 1))))
    g.linear(g.table(g.linear(x, 1280)), 1000, to_float=True)
    return g.build()


def efficientnet_b0(side: int = 224) -> Graph:
    g = RandomGraph((3, side, side))
    x = g.table(g.conv2d("input", 32, 3, stride=(2, 2)))
    settings = (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    )
    for expand, kernel, stride, out, blocks in settings:
        for block in range(blocks):
            width = g.values[x].shape[0]
            x = _inverted(g, x, expand * width, out, kernel, stride if block == 0 else 1, width // 4, True)
    return _head(g, g.table(g.conv2d(x, 1280, 1)))


def shufflenet_v2(side: int = 224) -> Graph:
    """x1.0"""
    g = RandomGraph((3, side, side))
    x = g.max_pool2d(g.conv2d("input", 24, 3, stride=(2, 2), zp=0), 3, 2, (1, 1, 1, 1))
    for channels, blocks in ((116, 4), (232, 8), (464, 4)):
        for block in range(blocks):
            x = _shuffled(g, x, channels, halved=block == 0)
    return _head(g, g.conv2d(x, 1024, 1, zp=0))


def _shuffled(g: RandomGraph, x: str, channels: int, halved: bool) -> str:
    """A unit of ShuffleNetV2: half of the channels go through a branch; `halved`: all go through two, at half the size."""
    width = channels // 2
    if halved:
        inside = g.values[x].shape[0]
        left = g.conv2d(g.conv2d(x, inside, 3, stride=(2, 2), groups=inside), width, 1, zp=0)
        right = g.conv2d(g.conv2d(x, width, 1, zp=0), width, 3, stride=(2, 2), groups=width)
    else:
        left, right = (g.moved("slice", x, axis=0, start=i, stop=i + width, step=1) for i in (0, width))
        right = g.conv2d(g.conv2d(right, width, 1, zp=0), width, 3, groups=width)
    x = g.moved("concat", left, g.conv2d(right, width, 1, zp=0), axis=0)
    _, h, w = g.values[x].shape
    x = g.moved("permute", g.moved("reshape", x, shape=(2, width, h, w)), dims=(1, 0, 2, 3))
    return g.moved("reshape", x, shape=(channels, h, w))


def _basic(g: RandomGraph, x: str, width: int, stride: int) -> str:
    shortcut = x
    if stride != 1 or g.values[x].shape[0] != width:
        shortcut = g.conv2d(x, width, 1, stride=(stride, stride), padding=(0, 0, 0, 0))
    y = g.conv2d(x, width, 3, stride=(stride, stride), padding=(1, 1, 1, 1), zp=0)
    return g.conv2d(y, width, 3, residual=shortcut, zp=0)


def _bottleneck(g: RandomGraph, x: str, width: int, stride: int, project: bool) -> str:
    shortcut = x
    if project:
        shortcut = g.conv2d(x, 4 * width, 1, stride=(stride, stride), padding=(0, 0, 0, 0))
    y = g.conv2d(g.conv2d(x, width, 1, zp=0), width, 3, stride=(stride, stride), zp=0)
    return g.conv2d(y, 4 * width, 1, residual=shortcut, zp=0)


def _inverted(
    g: RandomGraph, x: str, hidden: int, out: int, kernel: int, stride: int, squeeze: int = 0, smooth: bool = False
) -> str:
    """Expand, depthwise, squeeze-and-excite, project; `smooth`: hardswish or SiLU as a table in place of relu."""
    y = x
    if hidden != g.values[x].shape[0]:
        y = _activated(g, g.conv2d(y, hidden, 1, zp=128 if smooth else 0), smooth)
    y = _activated(
        g, g.conv2d(y, hidden, kernel, stride=(stride, stride), groups=hidden, zp=128 if smooth else 0), smooth
    )
    if squeeze:
        s = g.table(g.conv2d(g.global_avg_pool2d(y), squeeze, 1))
        y = g.mul(y, g.table(g.conv2d(s, hidden, 1)))
    skips = stride == 1 and g.values[x].shape[0] == out
    return g.conv2d(y, out, 1, residual=x if skips else None)


def _activated(g: RandomGraph, x: str, smooth: bool) -> str:
    return g.table(x) if smooth else x


def _head(g: RandomGraph, x: str, classes: int = 1000) -> Graph:
    g.linear(g.flatten(g.global_avg_pool2d(x)), classes, to_float=True)
    return g.build()


NETWORKS = {
    f.__name__: f
    for f in (resnet18, resnet50, resnet20, mobilenet_v2, mobilenet_v3_large, efficientnet_b0, shufflenet_v2)
}
