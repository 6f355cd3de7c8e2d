"""The builder by itself, as the frontend of any format uses it: it holds the rules, and knows no PyTorch."""

import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.capture import capture, classifier, fuse
from bitwright.capture.arithmetic import scaled
from bitwright.capture.builder import Builder
from bitwright.capture.draft import Constant, Site, Unmapped
from bitwright.capture.windows import NO_PADDING, same_padding
from bitwright.errors import CaptureError
from bitwright.graph import INPUT, Graph

SHAPE = (3, 11, 9)


class Net(nn.Module):
    """Most rules of the builder in one network: padding, ceil_mode, divisors, broadcasting, a residual, tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding="same", bias=False), nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 4, (3, 2), stride=(2, 1), padding=(1, 0), groups=2)
        self.gain = nn.Parameter(torch.rand(4, 1, 1))
        self.place = nn.Parameter(torch.rand(1, 4, 6))
        self.token = nn.Parameter(torch.rand(1, 1, 6))
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(2 * x - 1)))
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
        x = self.gain * x + F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = F.avg_pool2d(self.down(x), 2, 1, ceil_mode=True)
        x = torch.cat([self.token.expand(x.size(0), -1, -1), x.flatten(2) + self.place], 1)
        logits: Tensor = self.head(torch.minimum(x, torch.tensor(0.5)).mean(1) / 4)
        return logits


def built(tensors: dict[str, np.ndarray]) -> Graph:
    """The same network by the builder."""
    b = Builder(SHAPE)
    parameters = ("stem.weight", "norm.weight", "norm.bias", "down.weight", "down.bias", "gain", "place", "token")
    learned = (*parameters, "head.weight", "head.bias")
    t = {name: Constant(array, name, name in learned) for name, array in tensors.items()}
    x = b.sub(b.mul(2, INPUT), 1)
    b.site = Site("stem", True)
    x = b.conv2d(x, t["stem.weight"], padding=same_padding((3, 3), (1, 1)))
    b.site = Site("norm", True)
    x = b.batch_norm(x, t["norm.weight"], t["norm.bias"], t["norm.running_mean"], t["norm.running_var"], 1e-5)
    b.site = Site()
    x = b.max_pool2d(b.clamp(x, 0, None), (3, 3), (2, 2), (1, 1, 1, 1), ceil=True)
    gained = b.mul(t["gain"], x)
    x = b.add(gained, b.avg_pool2d(x, (3, 3), (1, 1), (1, 1, 1, 1), count_padding=False))
    b.site = Site("down", True)
    x = b.conv2d(x, t["down.weight"], t["down.bias"], stride=(2, 1), padding=(1, 0, 1, 0), groups=2)
    b.site = Site()
    x = b.avg_pool2d(x, (2, 2), (1, 1), ceil=True)
    x = b.concat([t["token"], b.add(b.reshape(x, (4, 6)), t["place"])], 0)
    x = b.div(b.mean(b.minimum(x, 0.5), [0]), 4)
    b.site = Site("head", True)
    return b.finish({"logits": b.linear(x, t["head.weight"], t["head.bias"])})


def assert_same(found: Graph, expected: Graph) -> None:
    assert [(n.name, n.op, n.inputs, n.attrs, n.origin) for n in found.nodes] == [
        (n.name, n.op, n.inputs, n.attrs, n.origin) for n in expected.nodes
    ]
    assert dict(found.values) == dict(expected.values)
    assert (found.output, found.others) == (expected.output, expected.others)
    for one, other in zip(found.nodes, expected.nodes, strict=True):
        assert list(one.tensors) == list(other.tensors)
        for key, array in one.tensors.items():
            assert array.dtype == other.tensors[key].dtype
            np.testing.assert_array_equal(array, other.tensors[key])


def test_a_network_built_by_hand_is_the_one_that_is_captured() -> None:
    torch.manual_seed(0)
    model = Net().eval()
    graph = built({name: tensor.detach().numpy() for name, tensor in model.state_dict().items()})
    captured = capture(model, SHAPE)
    assert len(captured.nodes) > 15
    assert_same(graph, captured)
    assert_same(fuse(graph), fuse(captured))


def test_the_builder_needs_no_torch() -> None:
    """Its module, with the packages above it as empty ones: those hold PyTorch's frontend, too."""
    code = """
import sys, types, bitwright
package = types.ModuleType("bitwright.capture")
package.__path__ = [bitwright.__path__[0] + "/capture"]
sys.modules["bitwright.capture"] = package
sys.modules["torch"] = None
from bitwright.capture.builder import Builder
b = Builder((3, 4, 4))
assert b.finish({"logits": b.mean("input", [1, 2])}).output == "reshape"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ceil", [False, True])
def test_windows_are_those_of_torch(ceil: bool) -> None:
    """All small sizes: how many windows there are, their maxima, and by what averages are divided."""
    count = 0
    for size, kernel, stride, padding, counted in product((4, 5, 8), (1, 2, 3), (1, 2, 3), (0, 1), (False, True)):
        if padding > kernel // 2:
            continue
        x = torch.rand(1, 2, size, 5, generator=torch.Generator().manual_seed(count))
        windows = (kernel, 2), (stride, 1), (padding, 1, padding, 1)
        b = Builder((2, size, 5))
        pooled = b.max_pool2d(INPUT, *windows, ceil=ceil)
        averaged = b.avg_pool2d(INPUT, *windows, ceil=ceil, count_padding=counted)
        plain = windows[0], windows[1], (padding, 1)
        expected = F.max_pool2d(x, *plain, ceil_mode=ceil), F.avg_pool2d(x, *plain, ceil, counted)
        top, left, bottom, right = b.nodes[1].attrs["padding"]
        assert [b.values[name].shape for name in (pooled, averaged)] == [e.shape[1:] for e in expected]
        assert b.nodes[0].attrs["padding"] == (top, left, bottom, right)
        sums = F.avg_pool2d(F.pad(x, (left, right, top, bottom)), *windows[:2], divisor_override=1)
        torch.testing.assert_close(sums / torch.from_numpy(b.nodes[1].tensors["divisor"]), expected[1].double())
        count += 1
    assert count > 60


def test_constants_are_broadcast_or_refused() -> None:
    b = Builder((3, 2, 2))
    gain = np.arange(1.0, 4.0, dtype=np.float32).reshape(3, 1, 1)
    by_channel = b.mul(Constant(gain, "gain", learned=True), INPUT)
    assert b.nodes[-1].tensors["bn_weight"].tolist() == [1, 2, 3]
    assert b.nodes[-1].attrs["learns"] == ("bn_weight",)
    by_place = b.sub(by_channel, Constant(np.ones((1, 3, 2, 2), np.float32)))
    assert [node.op for node in b.nodes[-2:]] == ["constant", "add"]
    assert b.values[by_place].shape == (3, 2, 2)
    with pytest.raises(Unmapped, match=r"a constant of \(3, 4, 1\), which does not fit \(3, 2, 2\)"):
        b.add(by_place, Constant(np.ones((3, 4, 1), np.float32)))
    widened = Builder((1,))
    assert widened.values[widened.add(INPUT, Constant(np.ones(5, np.float32)))].shape == (5,)
    b.div(INPUT, by_place)
    assert [node.op for node in b.nodes[-2:]] == ["function", "mul"]  # times its inverse
    with pytest.raises(Unmapped, match="neither a parameter nor a constant"):
        b.conv2d(INPUT, by_place)
    with pytest.raises(Unmapped, match="not computed from the image"):
        b.clamp(Constant(gain), 0, 1)


def test_a_scaled_parameter_stays_one() -> None:
    parameter = Constant(np.array([1.0, 2.0], np.float32), "p", learned=True)
    found = scaled(parameter, -2)
    assert isinstance(found, Constant)
    assert found.learned
    assert found.array.tolist() == [-2, -4]
    assert scaled(0.1, 3) == float(np.float32(0.1) * 3)


def test_names_come_from_sites_and_outputs_are_computed() -> None:
    b = Builder((3, 4, 4))
    b.site = Site("block.act", whole=True)
    first, second = b.clamp(INPUT, 0, 6), b.clamp(INPUT, 0, 1)
    b.site = Site("block")
    assert (first, second, b.reshape(second, (48,))) == ("block.act", "block.act_1", "block.reshape")
    graph = b.finish({"logits": "block.reshape", "maps": first})
    assert (graph.output, graph.others) == ("block.reshape", {"maps": "block.act"})
    assert [node.origin for node in graph.nodes] == ["block.act", "block.act", "block"]
    with pytest.raises(
        CaptureError, match=r"expected logits of \[N, classes\], found the output 'block.act' of \[N, 3"
    ):
        classifier(b.finish({"logits": first}))
    with pytest.raises(CaptureError, match="'logits' of the model is not computed from its input"):
        b.finish({"logits": INPUT})
    with pytest.raises(CaptureError, match=r"^w holds numbers that are not finite \(NaN or infinite\): 1 of 48"):
        b.linear("block.reshape", Constant(np.array([[np.nan] + [0.0] * 47], np.float32), "w"))


@pytest.mark.parametrize("order", [[2, 0, 1], [0, 1], [1, 1, 2]])
def test_entries_in_another_order(order: list[int]) -> None:
    b = Builder((3, 4, 4))
    assert b.values[b.index_select(INPUT, 0, order)].shape == (len(order), 4, 4)
    assert b.index_select(INPUT, 0, [0, 1, 2]) == INPUT
    slices = [range(n.attrs["start"], n.attrs["stop"]) for n in b.nodes if n.op == "slice"]
    assert [i for part in slices for i in part] == order


def test_pools_need_planes() -> None:
    b = Builder((6, 4))
    with pytest.raises(Unmapped, match=r"a pool over \[6, 4\]"):
        b.avg_pool2d(INPUT, (2, 2), (2, 2), NO_PADDING)
