"""PyTorch's own models for testing quantization: all are captured."""

from types import ModuleType

from bench.torch_models import torch_cases, why_not


def test_all_are_captured(torchvision: ModuleType) -> None:
    """As `python -m bench.coverage torch` prints them: 58 of 58 with PyTorch 2.13. Other versions may have others."""
    found = {case.name: why_not(case) for case in torch_cases()}
    assert len(found) > 40
    assert {name: reason for name, reason in found.items() if reason} == {}
