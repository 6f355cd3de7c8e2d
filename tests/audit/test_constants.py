"""Numbers that follow from the float model and the scales: none is wrong in what `quantize` makes, what is changed is found."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.artifact import Artifact
from bitwright.audit.faults import layer_faults
from bitwright.audit.layers import audit_layers
from bitwright.audit.matching import matched
from bitwright.audit.records import LayerAudit
from bitwright.audit.weights import weights_of
from bitwright.capture import captured
from tests.audit import faults

PREPROCESS = bw.Preprocess(size=8, mean=0.5, std=0.25)
PICTURES = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), np.uint8)


class Block(nn.Module):
    """Batch norms, a residual, a function of one number, a pool: each of them lowers to numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(n, 12, 3, padding=1, bias=n == 3) for n in (3, 12, 12))
        self.norm, self.fc = nn.BatchNorm2d(12), nn.Linear(12, 5)
        self.act, self.pool = nn.SiLU(), nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (x + self.b(self.act(self.norm(self.a(x))))).relu()
        x = self.pool(x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def block() -> Block:
    torch.manual_seed(0)
    net = Block().eval()
    with torch.no_grad():
        for tensor, std in ((net.norm.running_mean, 0.3), (net.norm.bias, 0.5), (net.stem.bias, 0.3)):
            assert tensor is not None
            tensor.normal_(std=std)
    return net


def quantized(recipe: bw.Recipe | str) -> Artifact:
    return bw.quantize(block(), PICTURES, preprocess=PREPROCESS, recipe=recipe)


def audited(artifact: Artifact) -> tuple[LayerAudit, ...]:
    prepared = matched(captured(block(), (3, 8, 8)), artifact)
    return audit_layers(prepared, artifact, PICTURES[:16], timed=False)


@pytest.fixture(scope="module")
def sound() -> Artifact:
    return quantized("w8a8")


@pytest.mark.parametrize(
    "recipe",
    [
        *("w8a8", "w4a8", "w3a4", "w2a2", "wta8", "w1a8", "w1a1"),
        bw.Recipe(algorithms=("smooth", "bias_correct")),
        bw.Recipe(weights="int4", activations="uint4", algorithms=("gptq",)),
        bw.Recipe(weights="int3", algorithms=("bn_restat",)),
        bw.Recipe(weights="int4", algorithms=("finetune_scales",)),
    ],
    ids=lambda recipe: recipe if isinstance(recipe, str) else f"{recipe.weights}-{recipe.algorithms[0]}",
)
def test_nothing_is_wrong_in_what_was_just_made(recipe: bw.Recipe | str) -> None:
    assert [layer.wrong for layer in audited(quantized(recipe)) if layer.wrong] == []


def changed(name: str, **attrs: int) -> Callable[[Artifact], Artifact]:
    def plant(artifact: Artifact) -> Artifact:
        nodes = tuple(n.with_attrs(**attrs) if n.name == name else n for n in artifact.graph.nodes)
        return replace(artifact, graph=replace(artifact.graph, nodes=nodes))

    return plant


def reversed_table(artifact: Artifact) -> Artifact:
    node = next(node for node in artifact.graph.nodes if "table" in node.tensors)
    return faults.with_node(artifact, node.name, table=node.tensors["table"][::-1].copy())


PLANTED: dict[str, tuple[Callable[[Artifact], Artifact], str, str, tuple[int, ...]]] = {
    "a residual's multiplier": (
        lambda a: faults.with_node(a, "b", m_r=a.graph["b"].tensors["m_r"] * np.float32(1.1)),
        *("multiplier", "m_r", ()),
    ),
    "a pool's multiplier": (
        lambda a: faults.with_node(a, "pool", m=a.graph["pool"].tensors["m"] * np.float32(4)),
        *("multiplier", "m", ()),
    ),
    "multipliers of two channels": (
        lambda a: faults.multiplied(a, "a", 1.3, slice(4, 6)),
        *("multiplier", "m", (4, 5)),
    ),
    "a multiplier's sign": (lambda a: faults.multiplied(a, "b", -1, slice(7, 8)), "multiplier", "m", (7,)),
    "one bias": (lambda a: faults.shifted(a, "a", 40, slice(9, 10)), "bias", "b", (9,)),
    "a bound of the codes": (changed("stem", hi=100), "constant", "hi", ()),
    "a table": (reversed_table, "constant", "table", tuple(range(256))),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_changed_is_found_where_it_was_changed(name: str, sound: Artifact) -> None:
    plant, kind, tensor, channels = PLANTED[name]
    layers = audited(plant(sound))
    (fault,) = [fault for fault in layer_faults(layers) if fault.is_fault]
    ((layer, wrong),) = [(layer.name, layer.wrong) for layer in layers if layer.wrong]
    assert (fault.kind, fault.layer, wrong[0].name) == (kind, layer, tensor)
    assert wrong[0].channels[:1] == channels[:1]
    assert len(wrong) == 1
    if tensor in ("m", "b"):
        assert wrong[0].channels == channels
    assert f"{wrong[0].found:.4g} and not {wrong[0].expected:.4g}" in fault.text


@pytest.mark.parametrize(("scheme", "tells"), [("int4", False), ("int8", True)])
def test_few_bits_do_not_tell_a_quarter_of_an_octave_and_that_is_no_damage(scheme: str, tells: bool) -> None:
    """`equalize` scales channels by so little; whose scale was read off four bits may be off by that."""
    recipe = bw.Recipe(weights=scheme, algorithms=("equalize",))
    artifact = quantized(recipe)
    weight = artifact.graph["a"].tensors["weight"].copy()
    moved = np.abs(weight) == 6
    weight[moved] += np.sign(weight[moved])  # to their neighbour, as a correction may round them
    artifact = faults.with_node(artifact, "a", weight=weight)
    prepared = matched(captured(block(), (3, 8, 8)), artifact)
    layer, node, values = prepared.layer("a"), artifact.graph["a"], artifact.graph.values
    with torch.no_grad():
        layer.tensors()["weight"][:, ::2] *= 2**-0.25
    weights = weights_of(layer, node, values[node.inputs[0]], values["a"], recipe)
    assert bool(weights.audit().beyond) == tells
