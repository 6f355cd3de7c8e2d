"""Attention as models write it becomes one op that reads queries, keys and values as slices of channels."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.capture import capture, fuse
from bitwright.errors import CaptureError
from bitwright.graph import Graph


class Tokens(nn.Module):
    """A classifier with something in the middle that maps tokens [N, 12, 8] to tokens."""

    def __init__(self, middle: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.middle, self.head = nn.Conv2d(3, 8, 2, 2), middle, nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.middle(self.stem(x).flatten(2).transpose(1, 2)).mean(1))
        return logits


def captured(middle: Callable[[Tensor], Tensor]) -> Graph:
    return fuse(capture(Tokens(middle), (3, 8, 6)))


def test_heads_are_slices_of_channels_and_nothing_else_moves() -> None:
    class Middle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).reshape(x.shape[0], 12, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
            y: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
            return y

    graph = captured(Middle())
    (attention,) = [node for node in graph.nodes if node.op == "attention"]
    assert attention.attrs == {"heads": 2, "scale": 0.5}
    slices = [graph[name] for name in attention.inputs]
    assert [(node.op, node.attrs["axis"], node.attrs["start"], node.attrs["stop"]) for node in slices] == [
        ("slice", 1, 0, 8),
        ("slice", 1, 8, 16),
        ("slice", 1, 16, 24),
    ]
    assert {name for node in slices for name in node.inputs} == {"middle.qkv"}
    assert graph["middle.out"].inputs == (attention.name,)
    counts = Counter(node.op for node in graph.nodes)
    assert counts["reshape"] + counts["permute"] == 5, "those of the patches and of the mean"


def masked(mask: Tensor) -> Callable[[Tensor], Tensor]:
    class Middle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask: Tensor
            self.register_buffer("mask", mask)

        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x, self.mask)

    return Middle()


@pytest.mark.parametrize("mask", [torch.ones(12, 12, dtype=torch.bool), torch.zeros(12, 12)], ids=["all", "zeros"])
def test_a_mask_that_hides_nothing_is_none(mask: Tensor) -> None:
    assert Counter(node.op for node in captured(masked(mask)).nodes)["attention"] == 1


def middle(function: Callable[[Tensor], Tensor]) -> nn.Module:
    class Middle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    return Middle()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (middle(lambda x: F.scaled_dot_product_attention(x, x, x, scale=-1.0)), "scores times -1.0"),
        (middle(lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1)), "draws random numbers"),
        (middle(lambda x: torch.einsum("btd,bsd,bse->bte", x, x, x)), "only those of two operands"),
        (middle(lambda x: x.transpose(0, 1)[:, 0].unsqueeze(0)), "along the batch axis"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_mapped_is_refused_by_name(body: nn.Module, reason: str) -> None:
    with pytest.raises(CaptureError, match=reason):
        captured(body)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (  # heads in the batch, as nn.MultiheadAttention has them
            x.transpose(0, 1)
            .contiguous()
            .view(12, x.shape[0] * 2, 4)
            .transpose(0, 1)
            .view(x.shape[0], 2, 12, 4)
            .transpose(1, 2)
            .flatten(2)
        ),
        lambda x: x.view(x.shape[0], 12, 2, 4).permute(2, 1, 0, 3)[1].unsqueeze(0).squeeze(0).transpose(0, 1),
        lambda x: x.view(x.shape[0], 12, 2, 4).permute(2, 0, 1, 3).unbind(0)[1],
    ],
)
def test_the_batch_axis_may_be_anywhere_in_between(function: Callable[[Tensor], Tensor]) -> None:
    from bitwright.prepared.float_graph import FloatGraph

    body, x = middle(function), torch.randn(3, 3, 8, 6)
    width = function(torch.zeros(2, 12, 8)).shape[-1]
    model = Tokens(body)
    model.head = nn.Linear(width, 4)
    found = FloatGraph(fuse(capture(model, (3, 8, 6))))(x)
    np.testing.assert_allclose(found.detach().numpy(), model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_norms_read_what_the_blocks_have_added_up() -> None:
    class Middle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = nn.Parameter(torch.randn(1, 12, 8))
            self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(3))
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.place
            for norm, layer in zip(self.norms, self.layers, strict=False):
                x = x + layer(norm(x))
            y: Tensor = self.norms[2](x)
            return y

    graph = captured(Middle())
    begin = graph["middle.norms.0"].inputs
    assert begin[1] == "middle.place"
    assert graph["middle.norms.1"].inputs == (*begin, "middle.layers.0")
    assert graph["middle.norms.2"].inputs == (*begin, "middle.layers.0", "middle.layers.1")
    assert not [node for node in graph.nodes if node.op == "add"]


def test_a_sum_that_something_else_reads_too_stays() -> None:
    class Middle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.layer = nn.LayerNorm(8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.layer(x)
            y: Tensor = x * self.norm(x)
            return y

    graph = captured(Middle())
    assert len(graph["middle.norm"].inputs) == 2
    assert len([node for node in graph.nodes if node.op == "add"]) == 1


def test_no_norm_reads_more_than_it_can() -> None:
    class Middle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(8)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(40):  # 2^40 summands
                x = x + x
            y: Tensor = self.norm(x)
            return y

    assert len(captured(Middle())["middle.norm"].inputs) == 64
