"""What torch.onnx's newer exporter writes as indices is read as torch.export has it."""

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.onnx import compared, export
from bitwright.capture import fuse
from bitwright.models import load_model
from bitwright.models.float_models import float_model
from tests.onnx_models import images

SHAPE = (3, 10, 9)


class Written(nn.Module):
    """float32 [N, 3, 10, 9] to [N, C]: uneven pools, assignments, and a pool of channels that lie last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.rest = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sin(self.stem(x))
        y = x.clone()
        y[:, :2] = x[:, 1:3] * 2
        y[..., 3] = x[..., 0]
        zeros = torch.zeros_like(x)
        zeros[:, 1:6:2] = y[:, :3]
        x = F.adaptive_avg_pool2d(y + zeros, (7, 4))
        x = self.rest(F.adaptive_avg_pool2d(x, (4, 3)))
        return F.adaptive_avg_pool2d(torch.sin(x.to(memory_format=torch.channels_last)), 1).flatten(1)


def test_it_is_the_graph_of_torch_export(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, path = Written().eval(), tmp_path / "m.onnx"
    export(module, SHAPE, path, "dynamo")
    ops = {node.op_type for node in onnx.load(path).graph.node}
    assert {"GatherND", "ScatterND", "ScatterElements", "Range"} <= ops, "the exporter writes it otherwise now"
    expected = fuse(float_model(module).capture(SHAPE).graph)
    found = load_model(path).float_model
    assert compared(expected, fuse(found.capture(SHAPE).graph)) == {"graph": True, "numbers": True}
    x = images(3, SHAPE)
    torch.testing.assert_close(torch.from_numpy(found.predict(x)), module(torch.from_numpy(x)).detach())
