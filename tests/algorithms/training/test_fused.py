"""The fused fake quantization against PyTorch's own operations."""

import pytest
import torch
from torch import Tensor

from bitwright.algorithms.training import fused


def plain(x: Tensor, scale: float, zero_point: int, hi: int) -> Tensor:
    return ((x * (1 / torch.tensor(scale)) + zero_point).round().clamp(0, hi) - zero_point) * scale


def tensors(shape: tuple[int, ...], layout: torch.memory_format, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, g = (torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=layout) for _ in range(2))
    return x, g


SHAPES = [
    ((3, 7), torch.contiguous_format),
    ((2, 5, 9, 11), torch.channels_last),
    ((5, 16, 100, 131), torch.channels_last),
]
CODES = [(0.3, 0, 15), (0.25, 3, 7), (0.01, 128, 255), (2.0, 1, 3)]


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize(("shape", "layout"), SHAPES)
def test_forward_equals_plain_operations_to_the_bit(
    shape: tuple[int, ...], layout: torch.memory_format, codes: tuple[float, int, int]
) -> None:
    x, _ = tensors(shape, layout, torch.float32)
    y = fused.forward(x, *codes)
    assert torch.equal(y, plain(x, *codes))
    assert y.stride() == x.stride()


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize(("shape", "layout"), SHAPES)
def test_bfloat16_is_computed_in_float32_and_rounded_once(
    shape: tuple[int, ...], layout: torch.memory_format, codes: tuple[float, int, int]
) -> None:
    x, _ = tensors(shape, layout, torch.bfloat16)
    assert torch.equal(fused.forward(x, *codes), plain(x.float(), *codes).bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize(("shape", "layout"), SHAPES)
def test_gradients(
    shape: tuple[int, ...], layout: torch.memory_format, codes: tuple[float, int, int], dtype: torch.dtype
) -> None:
    x, g = tensors(shape, layout, dtype)
    scale, zero_point, hi = codes
    dx, ds = fused.backward(x, g.contiguous(), *codes)
    t = x.float() * (1 / torch.tensor(scale))
    inside = (t > -zero_point) & (t < hi - zero_point)
    code = plain(x.float(), *codes) / scale
    slope = torch.where(inside, code - t, code).double()
    assert torch.equal(dx, torch.where(inside, g, 0))
    assert ds == pytest.approx(float((g.double() * slope).sum()), rel=1e-4, abs=1e-3)


def test_the_number_of_threads_changes_nothing() -> None:
    x, g = tensors((200_003, 1), torch.contiguous_format, torch.float32)
    threads = torch.get_num_threads()
    try:
        results = []
        for torch_threads in (1, 2, 3):
            torch.set_num_threads(torch_threads)
            results.append((fused.forward(x, 0.3, 2, 7), *fused.backward(x, g, 0.3, 2, 7)))
    finally:
        torch.set_num_threads(threads)
    for y, dx, ds in results[1:]:
        assert torch.equal(y, results[0][0])
        assert torch.equal(dx, results[0][1])
        assert ds == results[0][2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_a_number_stays_visible(dtype: torch.dtype) -> None:
    x = torch.tensor([0.5, float("nan"), 1.0]).to(dtype)
    assert fused.forward(x, 0.3, 0, 15).isnan().tolist() == [False, True, False]


def test_what_has_gaps_or_is_of_another_type_is_left_to_pytorch() -> None:
    assert fused.fits(torch.zeros(4, 4))
    assert not fused.fits(torch.zeros(4, 4)[:, ::2])
    assert not fused.fits(torch.zeros(4, 4, dtype=torch.float64))
    assert not fused.fits(torch.zeros(0, 4))
