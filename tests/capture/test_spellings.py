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

SHAPE = (3, 16, 12)


class Net(nn.Module):
    """A classifier of maps [N, 8, 8, 6] with something in the middle, whatever shape that makes of them."""

    def __init__(self, middle: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.middle = nn.Conv2d(3, 8, 3, stride=2, padding=1), middle
        with torch.no_grad():
            self.head = nn.Linear(self._features(torch.zeros(1, *SHAPE)).shape[1], 4)

    def _features(self, x: Tensor) -> Tensor:
        return self.middle(self.stem(x)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self._features(x))
        return logits


class Eager(nn.Module):
    """Attention as products and a softmax, with a bias of relative positions and a mask that differs from head to head."""

    bias: Tensor
    hidden: Tensor
    gain: Tensor

    def __init__(self, spelling: str) -> None:
        super().__init__()
        self.qkv, self.spelling = nn.Linear(8, 24), spelling
        self.register_buffer("bias", torch.randn(1, 2, 48, 48))
        self.register_buffer("hidden", torch.rand(48, 48) < 0.3)
        self.gain = nn.Parameter(torch.rand(2, 1, 1) + 0.5)

    def forward(self, planes: Tensor) -> Tensor:
        x = planes.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).reshape(x.shape[0], 48, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y: Tensor = getattr(self, f"_{self.spelling}")(q, k, v)
        return y.transpose(1, 2).reshape(x.shape)

    def _plain(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ((q * 0.5) @ k.transpose(-2, -1)).softmax(-1) @ v

    def _biased(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.mT / 2 + self.bias
        return torch.matmul(F.dropout(F.softmax(scores.masked_fill(self.hidden, float("-inf")), -1), 0.1, False), v)

    def _gains(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)) * self.gain
        return (scores + self.bias).softmax(dim=-1) @ v

    def _einsum(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.einsum("bhij,bhjd->bhid", (torch.einsum("bhid,bhjd->bhij", q, k) * 0.5).softmax(-1), v)

    def _turned(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (v.transpose(-2, -1) @ (q @ k.transpose(-2, -1)).softmax(-1).transpose(-2, -1)).transpose(-2, -1)

    def _masked(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, self.bias.masked_fill(self.hidden, float("-inf")))

    def _chosen(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.where(self.hidden, -1e9, torch.where(self.hidden.mT, q @ k.mT, torch.tensor(-1e4))).softmax(-1) @ v

    def _seen(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, ~self.hidden)

    def _causal(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def _talking(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (q @ k.transpose(-2, -1) / 2).permute(0, 2, 3, 1) @ self.gain.squeeze(-1).repeat(1, 2)
        return scores.permute(0, 3, 1, 2).softmax(-1) @ v

    def _channels(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """XCiT: channels attend to each other, by what they have in common over all tokens."""
        q, k, v = (t.transpose(-2, -1) for t in (q, k, v))
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return ((scores * self.gain).softmax(dim=-1) @ v).transpose(-2, -1)


class Windows(nn.Module):
    """Swin: windows of 4 x 3, shifted, each with a bias that all share and a mask of its own."""

    bias: Tensor
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.register_buffer("bias", torch.randn(2, 12, 12))
        self.register_buffer("mask", torch.where(torch.rand(4, 12, 12) < 0.3, -100.0, 0.0))

    def forward(self, planes: Tensor) -> Tensor:
        x = torch.roll(planes.permute(0, 2, 3, 1), shifts=(-2, -1), dims=(1, 2))
        n = x.shape[0]
        parts = x.view(n, 2, 4, 2, 3, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, 12, 8)
        q, k, v = self.qkv(parts).reshape(-1, 12, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) * 0.5 + self.bias.unsqueeze(0)
        scores = scores.view(n, 4, 2, 12, 12) + self.mask.unsqueeze(1).unsqueeze(0)
        y = (scores.view(-1, 2, 12, 12).softmax(-1) @ v).transpose(1, 2).reshape(-1, 12, 8)
        whole = y.view(n, 2, 2, 4, 3, 8).permute(0, 1, 3, 2, 4, 5).reshape(n, 8, 6, 8)
        return torch.roll(whole, shifts=(2, 1), dims=(1, 2)).permute(0, 3, 1, 2)


class Response(nn.Module):
    """ConvNeXtV2's global response norm, over the places of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(8)), nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        size = x.norm(p=2, dim=(1, 2), keepdim=True)
        return x + torch.addcmul(self.bias, self.weight, x * (size / (size.mean(-1, keepdim=True) + 1e-6)))


class Rows(nn.Module):
    """A batch norm of tokens with the batch and the tokens as one axis, as LeViT has it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.norm.running_mean, self.norm.running_var = torch.randn(8), torch.rand(8) + 0.5

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.norm(x.permute(0, 2, 3, 1).flatten(0, 2))
        return rows.reshape(x.shape[0], 48, 8)


class ByMatrices(nn.Module):
    """Products by parameters, from either side, and by a matrix for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(5, 8)), nn.Parameter(torch.randn(6, 7))
        self.each = nn.Parameter(torch.randn(8, 5, 7))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.left @ (x @ self.right)
        return y @ self.each.mT.unsqueeze(0)


def _padded(mode: str) -> Callable[[Tensor], Tensor]:
    return lambda x: F.pad(x, (2, 1, 3, 0), mode)


HIDDEN, VECTOR = torch.arange(48).view(8, 6) % 3 == 0, torch.linspace(-1, 1, 6)
MATRICES = torch.linspace(-1, 1, 8 * 5 * 6).view(8, 5, 6)


class Normed(nn.Module):
    """A layer norm over several axes, with gains and shifts that differ."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape)
        nn.init.normal_(self.norm.weight, 1.0, 0.3)
        nn.init.normal_(self.norm.bias, 0.0, 0.3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y


class Powers(nn.Module):
    """A generalised mean, whose exponent is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=1e-6).pow(self.exponent).mean((2, 3)).pow(1 / self.exponent)


class Shifted(nn.Module):
    """Some channels one column to the right, written into zeros."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[:, :2, :, 1:] = x[:, :2, :, :-1]
        y[:, 2:, ::2] = x[:, 2:, 1::2]
        return y


class RootMeanSquares(nn.Module):
    """A root mean square norm over two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.RMSNorm((8, 6), eps=0.1)
        nn.init.normal_(self.norm.weight, 1.0, 0.3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y


FACTORS = torch.tensor([0.3, 2.0]).view(2, 1, 1, 1, 1)


def _rms(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 0.1)


def _layer_norm(x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    return (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 0.1)


SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    **{
        f"attention {s}": Eager(s)
        for s in ("plain", "biased", "gains", "einsum", "turned", "masked", "chosen", "seen", "causal", "channels")
    },
    "windows": Windows(),
    "softmax": lambda x: x.softmax(1),
    "softmax of columns": lambda x: F.softmax(x, -1),
    "product": lambda x: x.flatten(2).softmax(-1) @ x.flatten(2).mT,
    "product by matrices": ByMatrices(),
    "einsum by rows": lambda x: torch.einsum("bchw,hkw->bkch", x, MATRICES),
    "einsum of two": lambda x: torch.einsum("bchw,bdhw->bhcd", x[:, :3], x.relu()),
    "talking heads": Eager("talking"),
    "greatest of columns": lambda x: x.max(dim=3)[0],
    "rms": _rms,
    "rms_norm": nn.RMSNorm(6, eps=0.1),
    "rms_norm of planes": RootMeanSquares(),
    "powers": Powers(),
    "shifted": Shifted(),
    "where": lambda x: torch.where(HIDDEN, x, 0.5) + x.masked_fill(HIDDEN, 0.0),
    "where of values": lambda x: torch.where(x > 0.1, x.flip(2), x),
    "least of columns": lambda x: x.min(dim=3)[0] + x.amin(3),
    "product by a vector": lambda x: x @ VECTOR,
    "addmm": lambda x: torch.addmm(VECTOR[:5], x.mean((2, 3)), MATRICES[:, :, 0], beta=0.5, alpha=2),
    "cosines": lambda x: F.linear(F.normalize(x.mean((2, 3))), F.normalize(MATRICES[:, :, 0].mT)),
    "max pool with places": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "pad by the least number": lambda x: F.max_pool2d(F.pad(x, (1, 0, 0, 1), value=-3.4e38), 2),
    "layer norm apart": _layer_norm,
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
    **{f"pad {mode}": _padded(mode) for mode in ("reflect", "replicate", "circular")},
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
