"""`equalize` of queries, keys and values: each head uses the codes as the others do, and the float model stays what it was."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.algorithms.correction.heads import heads
from bitwright.audit.matching import matched
from bitwright.capture import captured
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, convert, prepare
from bitwright.recipe import Recipe
from tests.networks import assert_equal_codes

PREPROCESS = Preprocess(size=16, mean=0.5, std=0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), dtype=np.uint8)
WIDTH, HEADS = 24, 3


class Attends(nn.Module):
    """Attention in windows of rows, or of all tokens, by one layer for queries, keys and values or by three."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.stem, self.norm = kind, nn.Conv2d(3, WIDTH, 4, 4), nn.LayerNorm(WIDTH)
        sizes = {"shared keys": WIDTH + 2 * WIDTH // HEADS}.get(kind, 3 * WIDTH)
        self.qkv = nn.Linear(WIDTH, sizes)
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.proj, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x).flatten(2).transpose(1, 2))
        count, rows = x.shape[0], 4 if self.kind == "windows" else 1
        parts = x.reshape(-1, 16 // rows, WIDTH)
        if self.kind == "separate":
            q, k, v = (layer(parts) for layer in (self.q, self.k, self.v))
        else:
            q, k, v = self.qkv(parts).split([WIDTH, *[(self.qkv.out_features - WIDTH) // 2] * 2], -1)
        q, k, v = (t.unflatten(-1, (-1, WIDTH // HEADS)).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=k.shape[1] != HEADS).transpose(1, 2).flatten(2)
        logits: Tensor = self.head(self.proj(y).reshape(count, 16, WIDTH).mean(1))
        return logits


def attends(kind: str) -> Attends:
    """One whose queries, keys and values have channels of unlike sizes, though like scores."""
    torch.manual_seed(0)
    model = Attends(kind).eval()
    for layer in (model.qkv, model.q, model.k, model.v):
        with torch.no_grad():
            sizes = torch.exp(1.2 * torch.randn(len(layer.weight)))
            layer.weight.mul_(sizes[:, None])
            layer.bias.mul_(sizes)
    return model


def prepared_with(kind: str, *algorithms: str) -> PreparedModel:
    prepared = prepare(attends(kind), preprocess=PREPROCESS, recipe=Recipe(algorithms=algorithms))
    calibrate(prepared, IMAGES[:32], range="minmax", guard=False)
    return prepared


def noise(prepared: PreparedModel) -> float:
    """How much of the last linear layer's input is rounding."""
    images = torch.from_numpy(IMAGES[32:])
    with torch.no_grad():
        wanted, found = prepared.float_logits(prepared.real_input(images)), prepared(prepared.normalised(images))
    return float((wanted - found).square().sum() / (wanted - wanted.mean(0)).square().sum())


KINDS = ("one layer", "separate", "windows")


@pytest.mark.parametrize("kind", KINDS)
def test_the_float_model_stays_and_the_integers_come_nearer(kind: str) -> None:
    plain, scaled = prepared_with(kind), prepared_with(kind, "equalize")
    (found,) = heads(scaled)
    assert found.query is not None
    assert found.value is not None
    for name in found.writers:
        assert scaled.layer(name).equalized.unique().numel() > 4
    with torch.no_grad():
        real = plain.real_input(torch.from_numpy(IMAGES))
        assert torch.allclose(plain.float_logits(real), scaled.float_logits(real), rtol=1e-4, atol=1e-5)
    assert noise(scaled) < noise(plain) / 2
    assert_equal_codes(scaled, IMAGES[:3])


def test_keys_that_several_heads_share_are_left_alone() -> None:
    assert not list(heads(prepared_with("shared keys")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_calibration_starts_from_the_original_weights(kind: str) -> None:
    prepared = prepared_with(kind, "equalize")
    once = {name: tensor.clone() for name, tensor in prepared.state_dict().items()}
    calibrate(prepared, IMAGES[:32], range="minmax", guard=False)
    for name, tensor in prepared.state_dict().items():
        assert torch.equal(tensor, once[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_audit_finds_every_scale_again(kind: str) -> None:
    prepared = prepared_with(kind, "equalize")
    found = matched(captured(attends(kind), (3, *PREPROCESS.shape[:2])), convert(prepared))
    for node in prepared.graph.nodes:
        wanted, again = prepared.layer(node.name).tensors(), found.layer(node.name).tensors()
        for name, tensor in wanted.items():
            assert torch.allclose(tensor, again[name], rtol=1e-5, atol=1e-6), (node.name, name)
