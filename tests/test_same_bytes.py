"""Quantizing twice gives the same file: on one thread of PyTorch and two, and whatever instructions the engine may use."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

pytest.importorskip("torch")

SCRIPT = """
    import sys, numpy as np, torch
    from torch import nn
    import bitwright as bw
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 24, 3, groups=24, padding=1)]
    head = [nn.ReLU6(), nn.Conv2d(24, 32, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    model, pre = nn.Sequential(*body, *head).eval(), bw.Preprocess(size=16, mean=0.5, std=0.25)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), np.uint8)
    for recipe in sys.argv[2:]:
        made = bw.quantize(model, pixels, recipe=recipe, preprocess=pre, guard=False)
        print(made.digest)
"""


def digests(threads: int, isa: str, *recipes: str) -> list[str]:
    """SHA-256 of the artifact by each recipe, in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "BITWRIGHT_ISA": isa}
    command = [sys.executable, "-W", "ignore", "-c", dedent(SCRIPT), str(threads), *recipes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_threads_and_instruction_sets_change_no_byte() -> None:
    found = digests(1, "", "w8a8", "w4a8")
    assert len({*found}) == 2
    assert digests(2, "", "w8a8", "w4a8") == found
    assert digests(1, "scalar", "w8a8", "w4a8") == found
