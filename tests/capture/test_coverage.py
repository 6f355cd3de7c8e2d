"""`bench.coverage`: what it says of a network, whatever becomes of it."""

import json
import subprocess
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import REPOSITORY


class Tiny(nn.Module):
    """A classifier of images that are 128 pixels wide, or wider."""

    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(3, 4, 32, stride=32), nn.BatchNorm2d(4), nn.Linear(4, 5)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] < 128:
            raise ValueError("too small")
        logits: Tensor = self.head(self.end(self.norm(self.stem(x))).mean((2, 3)))
        return logits


class Sorted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sort(1)[0]


class Slow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while True:
            x = x + 1


ENDS = {"equal": nn.ReLU(), "refused": Sorted(), "slow": Slow()}
SCRIPT = """
import json, sys
from bench import families
from bench.coverage_of_one import in_a_process
from tests.capture.test_coverage import ENDS, Tiny
families.MAKERS["timm"] = lambda case, side: Tiny(ENDS[sys.argv[1]])
print(json.dumps(in_a_process(families.Case("timm", "tiny", "tiny_1"), float(sys.argv[2]), 100)))
"""


@pytest.mark.parametrize(
    ("end", "seconds", "reached", "why"),
    [
        ("equal", 300, "equal", ""),
        ("refused", 300, "made", "no mapping for the op aten.sort"),
        ("slow", 0.5, "none", "takes more than 0 s"),
    ],
)
def test_a_record_says_how_far_a_network_came(
    torchvision: ModuleType, end: str, seconds: float, reached: str, why: str
) -> None:
    from bench import coverage

    command = [sys.executable, "-c", SCRIPT, end, str(seconds)]
    record = json.loads(subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout)
    assert (record["reached"], record.get("side")) == (reached, None if reached == "none" else 128)
    assert why in record.get("why", "")
    if reached == "equal":
        assert record["sqnr_db"] > 15
    whole = {**record, "family": "tiny", "in_full": True}
    assert coverage.is_covered(whole) == (reached == "equal")
    text = coverage.table("timm", {"tiny_1": whole, "words": {"outside": "takes words"}}, 5)
    assert f"**{int(reached == 'equal')} of 1.** 3 more were not tried yet." in text
    assert "Out of scope: words (takes words)." in text


def test_parameters_that_begin_as_one_number_become_random() -> None:
    from bench.families import randomize

    norm = nn.LayerNorm(64)
    torch.manual_seed(0)
    randomize(norm)
    weight, bias = norm.weight.detach(), norm.bias.detach()
    assert weight.std() > 0.05
    assert bias.std() > 0.05
    assert abs(float(weight.mean()) - 1) < 0.1
    assert abs(float(bias.mean())) < 0.1
