"""`equalize` over tokens: channels of a stream, of GELU and of norms get scales, and the float model stays what it was."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.algorithms.correction import large, tokens
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe
from tests.networks import assert_equal_codes

PREPROCESS = Preprocess(size=16, mean=0.5, std=0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), dtype=np.uint8)
WIDTH = 24


class Encoder(nn.Module):
    """A class token, positions, and blocks of a norm and an MLP whose results are added to the stream."""

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 4, 4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, WIDTH)), nn.Parameter(torch.randn(1, 17, WIDTH))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(blocks))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 40), nn.GELU(), nn.Linear(40, WIDTH)) for _ in range(blocks)
        )
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        for norm, mlp in zip(self.norms, self.mlps, strict=True):
            x = x + mlp(norm(x))
        logits: Tensor = self.head(self.norm(x)[:, 0])
        return logits


def encoder(spread: float = 2.0) -> Encoder:
    """One whose channels differ: exp(spread * a normal number) wherever there is one for each."""
    torch.manual_seed(0)
    model = Encoder()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d) and layer is not model.head:
                sizes = torch.exp(spread * torch.randn(len(layer.weight)))
                layer.weight.mul_(sizes.reshape(-1, *(1,) * (layer.weight.dim() - 1)))
                assert layer.bias is not None
                layer.bias.mul_(sizes)
            elif isinstance(layer, nn.LayerNorm) and layer is not model.norm:
                layer.weight.mul_(torch.exp(spread * torch.randn(WIDTH)))
    return model.eval()


def prepared_with(*algorithms: str, spread: float = 2.0) -> PreparedModel:
    prepared = prepare(encoder(spread), preprocess=PREPROCESS, recipe=Recipe(algorithms=algorithms))
    calibrate(prepared, IMAGES[:32], range="minmax", guard=False)
    return prepared


def inputs() -> Tensor:
    return torch.from_numpy(PREPROCESS.normalise(IMAGES[32:]))


def sqnr(prepared: PreparedModel) -> float:
    with torch.no_grad():
        wanted, found = prepared.float_logits(prepared.real_input(torch.from_numpy(IMAGES[32:]))), prepared(inputs())
    return float(10 * torch.log10(wanted.square().sum() / (wanted - found).square().sum()))


def test_the_float_model_stays_and_the_integers_come_nearer() -> None:
    plain, scaled = prepared_with(spread=1.5), prepared_with("equalize", spread=1.5)
    with torch.no_grad():
        real = plain.real_input(torch.from_numpy(IMAGES))
        assert torch.allclose(plain.float_logits(real), scaled.float_logits(real), rtol=1e-4, atol=1e-4)
    assert sqnr(scaled) > sqnr(plain) + 4


@pytest.mark.parametrize("kind", ["stream", "moved", "before a function", "behind a function", "norm"])
def test_every_kind_of_value_is_scaled(kind: str) -> None:
    prepared = prepared_with("equalize")
    scaled = {move.name: move for move in tokens.moves(prepared)}
    name = {
        "stream": "mlps.0.2",
        "moved": next(name for name, move in scaled.items() if "stem" in move.writers),
        "before a function": "mlps.0.0",
        "behind a function": "mlps.1.1",
        "norm": "norms.0",
    }[kind]
    for writer in scaled[name].writers:
        assert prepared.layer(writer).equalized.unique().numel() > 4, writer


def test_artifacts_hold_the_scales_and_every_implementation_agrees() -> None:
    prepared = prepared_with("equalize")
    nodes = {node.name: node for node in prepared.lower().nodes}
    assert nodes["norm"].tensors["m_x"].shape == (4, WIDTH)
    assert nodes["mlps.0.1"].tensors["table"].shape == (40, 256)
    assert_equal_codes(prepared, IMAGES[:3])


def test_without_a_spread_nothing_needs_scales_of_its_own() -> None:
    nodes = {node.name: node for node in prepared_with(spread=2.0).lower().nodes}
    assert nodes["norm"].tensors["m_x"].shape == (4,)
    assert nodes["mlps.0.1"].tensors["table"].shape == (256,)


def test_a_second_calibration_starts_anew() -> None:
    prepared = prepared_with("equalize")
    first = sqnr(prepared)
    calibrate(prepared, IMAGES[:32], range="minmax", guard=False)
    assert abs(sqnr(prepared) - first) < 0.5
    with torch.no_grad():
        real = prepared.real_input(torch.from_numpy(IMAGES))
        plain = prepared_with().float_logits(real)
        assert torch.allclose(prepared.float_logits(real), plain, rtol=1e-4, atol=1e-4)


class Turned(nn.Module):
    """As many tokens as channels, and what is added turns them round: the channels of the stream are not those of the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.other = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 16)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.norm(x + self.other(self.norm(x)).transpose(1, 2))[:, 0])
        return logits


def test_a_move_that_turns_channels_round_is_left_alone() -> None:
    prepared = prepare(Turned().eval(), preprocess=PREPROCESS, recipe=Recipe(algorithms=("equalize",)))
    calibrate(prepared, IMAGES[:32], guard=False)
    assert bool((prepared.layer("other").equalized == 1).all())
    assert_equal_codes(prepared, IMAGES[:2])


class Pooled(Encoder):
    """The mean of all tokens in front of the head, so that every token counts."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.places[:, 1:]
        for norm, mlp in zip(self.norms, self.mlps, strict=True):
            x = x + mlp(norm(x))
        logits: Tensor = self.head(self.norm(x).mean(1))
        return logits


def sinking() -> nn.Module:
    """One whose first MLP writes a very large number to one channel, at the one token that half of its hidden units know."""
    torch.manual_seed(0)
    model = Pooled()
    first, last = (m for name, m in model.named_modules() if name in ("mlps.0.0", "mlps.0.2"))
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        model.places[0, 3] = 3 * torch.randn(WIDTH)
        known = model.norms[0](model.places[0, 3])
        first.weight[:20] = 5 * known / known.norm()
        first.bias[:20] = -20.0
        last.weight[:, :20] = 0
        last.weight[5, :20] = 3
    return model.eval()


def with_a_sink() -> PreparedModel:
    prepared = prepare(sinking(), preprocess=PREPROCESS, recipe=Recipe(algorithms=("equalize",)))
    calibrate(prepared, IMAGES[:32], guard=False)
    return prepared


def test_a_large_channel_is_written_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = with_a_sink()
    assert prepared.parts == {"mlps.0.2": "mlps.0.2.large"}
    assert_equal_codes(prepared, IMAGES[:3])
    monkeypatch.setattr(large, "RATIO", 1e9)
    whole = with_a_sink()
    assert not whole.parts
    with torch.no_grad():
        real = whole.real_input(torch.from_numpy(IMAGES))
        assert torch.allclose(prepared.float_logits(real), whole.float_logits(real), rtol=1e-3, atol=1e-3)
    assert sqnr(prepared) > sqnr(whole) + 3


def test_parts_are_made_once() -> None:
    prepared = with_a_sink()
    names = [node.name for node in prepared.graph.nodes]
    calibrate(prepared, IMAGES[:32], guard=False)
    assert [node.name for node in prepared.graph.nodes] == names
    assert_equal_codes(prepared, IMAGES[:2])
