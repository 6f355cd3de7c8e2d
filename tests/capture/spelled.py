"""Modules that write out what others call by name: attention, norms, windows, powers, assignments."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


def padded(mode: str) -> Callable[[Tensor], Tensor]:
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


class PowersOf(nn.Module):
    """A generalised mean with an exponent for each channel, or each column."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.linspace(1.0, 4.0, math.prod(shape)).reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=1e-6) ** self.exponent


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


def rms(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 0.1)


def layer_norm(x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    return (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 0.1)
