"""PyTorch's own models for testing quantization: all are captured but those of ops that we don't have."""

from types import ModuleType

from bench.torch_models import torch_cases, why_not


def test_all_but_those_with_ops_that_there_are_not(torchvision: ModuleType) -> None:
    """As `python -m bench.coverage torch` prints them: 55 of 58 with PyTorch 2.13. Other versions may have others."""
    refused = {case.name: reason for case in torch_cases() if (reason := why_not(case))}
    missing = {"ConvTransposeModel": "conv_transpose2d", "AnnotatedConvTransposeModel": "conv_transpose2d"}
    missing |= {"NormalizationTestModel": "repeat"}
    assert refused.keys() == missing.keys()
    for name, op in missing.items():
        assert f"no mapping for the op aten.{op}" in refused[name]
