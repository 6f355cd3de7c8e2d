"""What models write in PyTorch, one thing after another: the graph computes the same, and so do the engines of its integers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bitwright as bw
from bitwright.capture import capture, fuse
from bitwright.errors import CaptureError
from bitwright.prepared.float_graph import FloatGraph
from tests.capture.spelled import (
    FACTORS,
    HIDDEN,
    MATRICES,
    SHAPE,
    VECTOR,
    ByMatrices,
    Eager,
    Net,
    Normed,
    Powers,
    PowersOf,
    Response,
    RootMeanSquares,
    Rows,
    Shifted,
    Windows,
    layer_norm,
    padded,
    rms,
)

SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    **{
        f"attention {s}": Eager(s)
        for s in ("plain", "biased", "gains", "einsum", "turned", "masked", "chosen", "seen", "causal", "channels")
    },
    "windows": Windows(),
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
    "log_softmax of columns": lambda x: F.log_softmax(3 * x, -1),
    "logsumexp": lambda x: torch.logsumexp(2 * x, (2, 3)) + x.logsumexp(-1, keepdim=True).mean((2, 3)),
    "product of columns": lambda x: (x.sigmoid() + 0.5).prod(3) + (x[:, :7] + 1).prod(dim=1, keepdim=True).mean(3),
    "softmax of columns": lambda x: F.softmax(x, -1),
    "product": lambda x: x.flatten(2).softmax(-1) @ x.flatten(2).mT,
    "product by matrices": ByMatrices(),
    "einsum by rows": lambda x: torch.einsum("bchw,hkw->bkch", x, MATRICES),
    "einsum of two": lambda x: torch.einsum("bchw,bdhw->bhcd", x[:, :3], x.relu()),
    "talking heads": Eager("talking"),
    "greatest of columns": lambda x: x.max(dim=3)[0],
    "rms": rms,
    "rms_norm": nn.RMSNorm(6, eps=0.1),
    "rms_norm of planes": RootMeanSquares(),
    "powers": Powers(),
    "powers of channels": PowersOf((8, 1, 1)),
    "powers of columns": PowersOf((6,)),
    "shifted": Shifted(),
    "where": lambda x: torch.where(HIDDEN, x, 0.5) + x.masked_fill(HIDDEN, 0.0),
    "where of values": lambda x: torch.where(x > 0.1, x.flip(2), x),
    "least of columns": lambda x: x.min(dim=3)[0] + x.amin(3),
    "product by a vector": lambda x: x @ VECTOR,
    "addmm": lambda x: torch.addmm(VECTOR[:5], x.mean((2, 3)), MATRICES[:, :, 0], beta=0.5, alpha=2),
    "cosines": lambda x: F.linear(F.normalize(x.mean((2, 3))), F.normalize(MATRICES[:, :, 0].mT)),
    "max pool with places": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "pad by the least number": lambda x: F.max_pool2d(F.pad(x, (1, 0, 0, 1), value=-3.4e38), 2),
    "layer norm apart": layer_norm,
    "normalize": lambda x: F.normalize(x, dim=1),
    "length": lambda x: x.norm(dim=(2, 3), keepdim=True),
    "response": Response(),
    "mean of columns": lambda x: x.mean(-1),
    "mean of two axes": lambda x: x.mean((1, 3), keepdim=True),
    "sum": lambda x: x.sum(dim=2) / 4,
    "amax": lambda x: x.amax(dim=1, keepdim=True),
    "largest of planes": lambda x: F.adaptive_max_pool2d(x, 1),
    "uneven": lambda x: F.adaptive_avg_pool2d(x, (5, 4)),
    "largest of uneven windows": lambda x: F.adaptive_max_pool2d(x, (5, 4)),
    "largest of windows": lambda x: F.adaptive_max_pool2d(x, (4, 3)),
    "std": lambda x: x.std((2, 3)),
    "var": lambda x: x.var(1, keepdim=True, unbiased=False),
    "var and mean": lambda x: torch.cat(torch.var_mean(x, -1), 1),
    "std and mean, corrected": lambda x: torch.cat(torch.std_mean(x, (1, 2), correction=3), 1),
    "cumsum": lambda x: x.cumsum(2),
    "local response": lambda x: F.local_response_norm(x, 5, alpha=0.5, k=1.5),
    "local response of an even size": nn.LocalResponseNorm(4),
    "larger of two": lambda x: torch.maximum(x, x.roll(1, 2)),
    "smaller of two that broadcast": lambda x: torch.minimum(x, x.mean((2, 3), keepdim=True)),
    "max feature map": lambda x: torch.maximum(*x.chunk(2, 1)),
    "lerp": lambda x: torch.lerp(x, x.flip(2), 0.3),
    "lerp by values": lambda x: torch.lerp(x, x.flip(2), x.sigmoid()),
    "lerp from a constant": lambda x: torch.lerp(FACTORS[0, 0], x, 0.3),
    "rsub of two": lambda x: torch.rsub(x, x.flip(2), alpha=2),
    "layer norm of planes": Normed((8, 8, 6)),
    "layer norm of rows and columns": Normed((8, 6)),
    "ceil": nn.AvgPool2d(2560, ceil_mode=True),
    "add of planes": lambda x: x + x.mean((2, 3), keepdim=True),
    "add of one plane": lambda x: x + x[:, :1],
    "mul by one plane": lambda x: x * x[:, :1].sigmoid(),
    "mul by columns": lambda x: x * x.mean((1, 2), keepdim=True),
    "quotient": lambda x: x / (x.abs().mean((2, 3), keepdim=True) + 1),
    "wider constant": lambda x: x.mean((2, 3), keepdim=True) + torch.linspace(-1, 1, 6),
    "difference": lambda x: x - x.flip(2),
    "expand": lambda x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1),
    "repeat": lambda x: x.repeat(1, 1, 2, 1),
    "repeat of a constant": lambda x: x + FACTORS[0].repeat(x.shape[0], 2, 1, 1)[:, :1],
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=2),
    "repeat_interleave of images": lambda x: (
        x.flatten(2).mT.reshape(-1, 12, 8) * x.mean((2, 3)).repeat_interleave(4, dim=0).unsqueeze(1)
    ).reshape(x.shape[0], 48, 8),
    "pool of windows": lambda x: F.max_pool2d(x.unflatten(2, (2, 4)).transpose(1, 2).flatten(0, 1), 2).reshape(
        x.shape[0], -1
    ),
    "roll": lambda x: x.roll((3, -1), (2, 3)),
    "stack": lambda x: torch.stack([x, x.relu(), -x], 2),
    "stack in front of the batch": lambda x: (torch.stack([x, x.relu()]) * FACTORS).sum(0),
    "flip": lambda x: x.flip(-1, 1),
    "index": lambda x: x[:, :, [5, 0, 0, 2]],
    "table of indices": lambda x: x.flatten(2)[:, :, torch.arange(12).reshape(3, 4) * 2],
    "unfold": lambda x: x.unfold(2, 3, 2),
    "F.unfold": lambda x: F.unfold(x, 3, dilation=2, padding=1, stride=2),
    "F.fold": lambda x: F.fold(F.unfold(x, 2, stride=2), (8, 6), 2, stride=2),
    "F.fold of windows that overlap": lambda x: F.fold(
        F.unfold(x, 3, padding=1, stride=2), (8, 6), 3, padding=1, stride=2
    ),
    "a slice of nothing": lambda x: torch.cat([x[:, :0], x.relu()], 1),
    "the batch in the middle": lambda x: (x.transpose(0, 1) + 1).relu().transpose(0, 1),
    "batch norm of tokens": Rows(),
    "zeros": lambda x: x + torch.zeros(x.shape[0], 8, 6, dtype=x.dtype).cumsum(1).unsqueeze(1) + 1,
    "zeros like": lambda x: x + torch.zeros_like(x) + x.new_ones((8, 1, 6)) + torch.full_like(x[:, :1], 0.5),
    "averages of rows": nn.Sequential(nn.Flatten(2), nn.AdaptiveAvgPool1d(5)),
    "pixel_shuffle": nn.PixelShuffle(2),
    "pixel_unshuffle": nn.PixelUnshuffle(2),
    "channel_shuffle": nn.ChannelShuffle(4),
    "movedim": lambda x: x.movedim(1, 3),
    "unflatten": lambda x: x.unflatten(1, (2, 4)).transpose(1, 2),
    **{f"pad {mode}": padded(mode) for mode in ("reflect", "replicate", "circular")},
    "pad by a number": lambda x: F.pad(x, (2, 1, 0, 3), value=0.7),
    "pad less": lambda x: F.pad(x, (-1, 2, 0, -3)),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest, exact": lambda x: F.interpolate(x, (5, 9), mode="nearest-exact"),
    "nearest, exact, by a factor": lambda x: F.interpolate(x, scale_factor=(1.7, 0.6), mode="nearest-exact"),
    "nearest, uneven": lambda x: F.interpolate(x, (5, 9)),
    "bilinear": lambda x: F.interpolate(x, (11, 4), mode="bilinear"),
    "nearest, by a factor": lambda x: F.interpolate(x, scale_factor=(1.7, 0.6)),
    "nearest, as float32 has it": lambda x: F.interpolate(x[:, :, :2], (82, 7)),
    "bilinear, by a factor": lambda x: F.interpolate(x, scale_factor=(1.7, 0.6), mode="bilinear"),
    "bilinear, to a corner": lambda x: F.interpolate(x, (1, 1), mode="bilinear", align_corners=True),
    "bilinear, antialiased": lambda x: F.interpolate(x, (11, 4), mode="bilinear", antialias=True),
    "bicubic, antialiased": lambda x: F.interpolate(x, scale_factor=(0.4, 1.3), mode="bicubic", antialias=True),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=True),
    "conv1d": nn.Sequential(nn.Flatten(2), nn.Conv1d(8, 6, 3, stride=2, padding=1, groups=2)),
    "conv_transpose": nn.ConvTranspose2d(8, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2),
    "conv_transpose1d": nn.Sequential(
        nn.Flatten(2), nn.ConvTranspose1d(8, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
    ),
    "largest of uneven parts": nn.Sequential(nn.Flatten(2), nn.AdaptiveMaxPool1d(5)),
    "conv_transpose, dilated": nn.ConvTranspose2d(8, 4, 3, padding=3, dilation=2, bias=False),
}


@pytest.mark.parametrize("label", SPELLINGS)
def test_the_graph_computes_what_the_model_does(label: str) -> None:
    torch.manual_seed(0)
    model = Net(SPELLINGS[label]).eval()
    images = torch.randn(3, *SHAPE)
    with torch.no_grad():
        expected = model(images)
    found = FloatGraph(fuse(capture(model, SHAPE)))(images)
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()) + 1e-5), label


QUANTIZED = (
    "attention biased",
    "attention channels",
    "windows",
    "softmax",
    "rms",
    "response",
    "bilinear",
    "conv_transpose",
    "stack",
    "std",
    "layer norm of planes",
    "larger of two",
    "local response",
    "largest of uneven windows",
    "log_softmax",
    "logsumexp",
    "product of columns",
    "powers of channels",
    "powers of columns",
    "conv_transpose1d",
)


@pytest.mark.parametrize("label", QUANTIZED)
def test_integers_are_near_the_floats_and_the_same_in_the_engine(label: str) -> None:
    torch.manual_seed(0)
    model = Net(SPELLINGS[label]).eval()
    preprocess = bw.Preprocess(size=SHAPE[1:], mean=0.5, std=0.25)
    images = np.random.default_rng(0).integers(0, 256, (12, *SHAPE[1:], 3)).astype(np.uint8)
    artifact = bw.quantize(model, images[:8], preprocess=preprocess, recipe=bw.Recipe(algorithms=()), guard=False)
    found = bw.Engine(artifact, backend="reference")(images)
    assert bw.Engine(artifact, threads=2)(images).tobytes() == found.tobytes()
    with torch.no_grad():
        expected = model(torch.from_numpy(preprocess.normalise(images))).numpy()
    assert np.square(found - expected).sum() < 0.05 * np.square(expected - expected.mean(0)).sum() + 1e-3


def _projected(x: Tensor, least: float, most: float | None = None) -> Tensor:
    return x / x.norm(dim=1, keepdim=True).clamp(least, most)


def _replaced(x: Tensor, number: float) -> Tensor:
    """An attention in which a number takes the place of some scores: -1 is no bias of them, and hides none."""
    t = x.flatten(2).mT
    return (t @ t.mT).masked_fill(torch.eye(t.shape[1], dtype=torch.bool), number).softmax(-1) @ t


NEARLY = {
    "no less than 1": lambda x: _projected(x, 1.0),
    "no more than 1": lambda x: _projected(x, 1e-6, 1.0),
    "another axis": lambda x: (
        (x - x.mean(3, keepdim=True)) / ((x - x.mean(3, keepdim=True)).square().mean(2, keepdim=True) + 1e-5).sqrt()
    ),
    "a score of -1": lambda x: _replaced(x, -1.0),
    "a score of -1000": lambda x: _replaced(x, -1000.0),
    "rounded scores": lambda x: torch.div(x.flatten(2) @ x.flatten(2).mT, 0.3, rounding_mode="floor").softmax(-1),
}


@pytest.mark.parametrize("label", NEARLY)
def test_what_is_nearly_a_norm_or_an_attention_is_not_taken_for_one(label: str) -> None:
    torch.manual_seed(0)
    model = Net(NEARLY[label]).eval()
    images = torch.cat([torch.randn(1, *SHAPE), 1e-2 * torch.randn(1, *SHAPE)])
    with torch.no_grad():
        expected = model(images)
    try:
        found = FloatGraph(capture(model, SHAPE))(images)
    except CaptureError:
        return
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()) + 1e-5), label
