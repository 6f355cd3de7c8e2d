"""What a convolution takes in, and what it must leave alone. The function computed never changes."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.capture import capture, fuse
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.recipe import Recipe
from tests.networks import Forward, Parts

PREPROCESS = Preprocess(size=6, mean=0.5, std=0.3)


def fused(forward: Forward) -> dict[str, tuple[str, ...]]:
    """The fused graph of a forward, as {name: (op, *inputs)}, once its logits are found to be the module's."""
    model = Parts(forward).eval()
    graph = fuse(capture(model, (3, 6, 6)))
    assert_sound(graph)
    images = np.random.default_rng(1).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = model(torch.from_numpy(PREPROCESS.normalise(images)))
    found = PreparedModel(graph, PREPROCESS, Recipe()).eval().calibrator.observe(torch.from_numpy(images))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    return {node.name: (node.op, *node.inputs) for node in graph.nodes}


def assert_sound(graph: Graph) -> None:
    """Names are unique, nodes in order, and there is a shape for every value and for nothing else."""
    seen = ["input"]
    for node in graph.nodes:
        assert set(node.inputs) <= set(seen)
        seen.append(node.name)
    assert len(seen) == len(set(seen))
    assert set(graph.values) == set(seen)
    assert graph.output in seen


FUSED: dict[str, tuple[Forward, dict[str, tuple[str, ...]]]] = {
    "norm and relu": (
        lambda s, x: F.relu(s.norm(s.stem(x))),
        {"stem": ("conv2d", "input")},
    ),
    "norm, residual and relu": (
        lambda s, x: F.relu(s.norm(s.a(h := s.stem(x))) + h),
        {"stem": ("conv2d", "input"), "a": ("conv2d", "stem", "stem")},
    ),
    "a residual that comes first": (
        lambda s, x: (h := s.stem(x)) + s.norm(s.a(h)),
        {"stem": ("conv2d", "input"), "a": ("conv2d", "stem", "stem")},
    ),
    "convolutions on both sides of a sum: the later one takes the other": (
        lambda s, x: F.relu(s.norm(s.a(h := F.relu(s.stem(x)))) + s.other(s.b(h))),
        {"stem": ("conv2d", "input"), "a": ("conv2d", "stem"), "b": ("conv2d", "stem", "a")},
    ),
    "relu between convolution and sum stays between them": (
        lambda s, x: F.relu(s.a(h := s.stem(x))) + h,
        {"stem": ("conv2d", "input"), "a": ("conv2d", "stem"), "add": ("add", "a", "stem")},
    ),
    "padding of planes": (
        lambda s, x: s.a(F.pad(s.stem(x), (1, 0, 2, 1))),
        {"stem": ("conv2d", "input"), "a": ("conv2d", "stem")},
    ),
    "linear, norm and relu": (
        lambda s, x: F.relu(s.norm1d(s.fc(s.stem(x).mean((2, 3))))),
        {
            "stem": ("conv2d", "input"),
            "fc": ("linear", "reshape"),
        },
    ),
    "a residual of linear layers": (
        lambda s, x: s.fc2(h := s.fc(s.stem(x).mean((2, 3)))) + h,
        {
            "stem": ("conv2d", "input"),
            "fc": ("linear", "reshape"),
            "fc2": ("linear", "fc", "fc"),
        },
    ),
}


@pytest.mark.parametrize("case", FUSED)
def test_what_a_layer_takes_in(case: str) -> None:
    forward, expected = FUSED[case]
    found = fused(forward)
    assert {name: node for name, node in found.items() if node[0] in ("conv2d", "linear", "add")} == expected
    assert not {op for op, *_ in found.values()} & {"batch_norm", "clamp", "pad"}


LEFT: dict[str, tuple[Forward, list[str]]] = {
    "a convolution that two ops read": (lambda s, x: s.norm(h := s.stem(x)) * h, ["conv2d", "batch_norm", "mul"]),
    "a norm that two ops read": (
        lambda s, x: F.relu(h := s.norm(s.stem(x))) * F.max_pool2d(h, 3, 1, 1),
        ["conv2d", "clamp", "max_pool2d", "mul"],
    ),
    "a relu that two ops read is still bounds": (
        lambda s, x: s.a(h := F.relu(s.stem(x))) * h,
        ["conv2d", "conv2d", "mul"],
    ),
    "a norm in front of a convolution": (
        lambda s, x: s.a(F.relu(s.norm(F.max_pool2d(s.stem(x), 2)))),
        ["conv2d", "max_pool2d", "batch_norm", "conv2d"],
    ),
    "a norm on the image": (lambda s, x: s.stem(s.image_norm(x)), ["batch_norm", "conv2d"]),
    "a second norm": (lambda s, x: s.other(s.norm(s.stem(x))), ["conv2d", "batch_norm"]),
    "a norm behind a sum": (
        lambda s, x: s.norm(s.a(h := s.stem(x)) + h),
        ["conv2d", "conv2d", "batch_norm"],
    ),
    "a norm behind a relu": (lambda s, x: s.norm(F.relu(s.stem(x))), ["conv2d", "batch_norm"]),
    "a second relu": (lambda s, x: F.relu6(F.relu(s.stem(x))), ["conv2d", "clamp"]),
    "a sum of three": (
        lambda s, x: s.a(h := s.stem(x)) + h + F.max_pool2d(h, 3, 1, 1),
        ["conv2d", "conv2d", "max_pool2d", "add"],
    ),
    "padding of channels": (
        lambda s, x: s.wide(F.pad(s.stem(x), (0, 0, 0, 0, 1, 2))),
        ["conv2d", "pad", "conv2d"],
    ),
    "padding that two convolutions read": (
        lambda s, x: s.a(h := F.pad(s.stem(x), (1, 1, 1, 1))) * s.b(h),
        ["conv2d", "pad", "conv2d", "conv2d", "mul"],
    ),
    "padding in front of a pool": (
        lambda s, x: F.max_pool2d(F.pad(F.relu(s.stem(x)), (0, 1, 0, 1)), 3, 2),
        ["conv2d", "pad", "max_pool2d"],
    ),
    "a convolution plus itself": (lambda s, x: (h := s.stem(x)) + h, ["conv2d", "add"]),
    "the image as residual": (
        lambda s, x: s.a(F.pad(x, (0, 0, 0, 0, 0, 1))) + F.pad(x, (0, 0, 0, 0, 1, 0)),
        ["pad", "pad", "conv2d"],
    ),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_a_layer_leaves_alone(case: str) -> None:
    forward, expected = LEFT[case]
    ops = [op for op, *_ in fused(forward).values() if op not in ("global_avg_pool2d", "reshape")]
    assert sorted(ops) == sorted(expected)


SHIFTED: dict[str, tuple[Forward, dict[str, tuple[str, ...]]]] = {
    "shifts around a prelu": (
        lambda s, x: s.prelu(F.max_pool2d(s.stem(x), 2) + s.shift) - s.shift,
        {"prelu": ("prelu", "max_pool2d")},
    ),
    "a shift behind norm and residual": (
        lambda s, x: s.norm(s.a(h := s.stem(x))) + h + s.shift.expand_as(h),
        {"stem": ("conv2d", "input"), "a": ("conv2d", "stem", "stem")},
    ),
    "a shift behind a norm": (
        lambda s, x: s.norm(F.max_pool2d(s.stem(x), 2)) + 0.5,
        {"norm": ("batch_norm", "max_pool2d")},
    ),
    "a gain is no shift": (
        lambda s, x: s.prelu(F.max_pool2d(s.stem(x), 2) * s.shift),
        {"prelu": ("prelu", "batch_norm"), "batch_norm": ("batch_norm", "max_pool2d")},
    ),
    "a relu between": (
        lambda s, x: F.relu(s.norm(F.max_pool2d(s.stem(x), 2))) + s.shift,
        {"norm": ("batch_norm", "max_pool2d"), "batch_norm": ("batch_norm", "norm")},
    ),
    "a shift that others read": (
        lambda s, x: s.prelu(h := F.max_pool2d(s.stem(x), 2) + s.shift) + h,
        {"prelu": ("prelu", "batch_norm"), "batch_norm": ("batch_norm", "max_pool2d")},
    ),
}


@pytest.mark.parametrize("case", SHIFTED)
def test_where_shifts_go(case: str) -> None:
    forward, expected = SHIFTED[case]
    found = fused(forward)
    assert {name: found.get(name) for name in expected} == expected
    others = {name: node for name, node in found.items() if name not in expected}
    assert "batch_norm" not in {op for op, *_ in others.values()}


def test_the_output_is_read_by_the_outside() -> None:
    """Logits that something else reads too are not taken in."""
    found = fused(lambda s, x: (h := s.fc(s.stem(x).mean((2, 3)))) + F.pad(F.relu(h)[:, 1:], (0, 1)))
    assert [op for op, *_ in found.values()][-5:] == ["linear", "clamp", "slice", "pad", "add"]


def test_a_sum_with_the_image_stays_a_sum() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x) + x).mean((2, 3))

    graph = fuse(capture(Residual().eval(), (3, 6, 6)))
    assert [node.op for node in graph.nodes] == ["conv2d", "add", "global_avg_pool2d", "reshape"]
    assert graph["add"].attrs["clamp"] == (0, None)


def test_concats_of_concats_are_one_where_nothing_else_reads_them() -> None:
    def forward(s: Parts, x: Tensor) -> Tensor:
        x = s.stem(x)
        y = torch.cat([F.relu(x), torch.cat([x, -x], 1), torch.cat([x, x], 2).narrow(2, 0, x.size(2))], 1)
        shared = torch.cat([y, x], 1)
        return torch.cat([shared, shared], 1).flatten(1)

    found = [(len(inputs)) for op, *inputs in fused(forward).values() if op == "concat"]
    assert found == [2, 5, 2]


def test_padding_adds_up() -> None:
    graph = fuse(capture(Parts(lambda s, x: s.stem(F.pad(x, (1, 0, 2, 3)))).eval(), (3, 6, 6)))
    assert graph["stem"].attrs["padding"] == (3, 2, 4, 1)


def test_bounds_are_kept() -> None:
    graph = fuse(capture(Parts(lambda s, x: s.norm(s.stem(x)).clamp(-0.5, 2)).eval(), (3, 6, 6)))
    assert graph["stem"].attrs["clamp"] == (-0.5, 2)
    assert {"weight", "bias", "bn_weight", "bn_bias", "bn_mean", "bn_var"} == set(graph["stem"].tensors)


def test_the_graph_that_goes_in_is_not_changed() -> None:
    graph = capture(Parts(FUSED["norm, residual and relu"][0]).eval(), (3, 6, 6))
    before = [(node.name, node.op, node.inputs, dict(node.attrs), set(node.tensors)) for node in graph.nodes]
    assert len(fuse(graph).nodes) < len(before)
    assert [(node.name, node.op, node.inputs, dict(node.attrs), set(node.tensors)) for node in graph.nodes] == before


def test_fusing_twice_changes_nothing_more() -> None:
    for forward, _ in list(FUSED.values())[:4]:
        once = fuse(capture(Parts(forward).eval(), (3, 6, 6)))
        twice = fuse(once)
        assert [(n.name, n.op, n.inputs) for n in twice.nodes] == [(n.name, n.op, n.inputs) for n in once.nodes]
