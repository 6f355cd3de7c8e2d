"""How far `bias_correct` believes what it has seen: a mean of a few images is mostly chance."""

import numpy as np
import torch

from bitwright.algorithms.correction.bias_correct import certain


def noisy(images: int, spread: float, noise: float, channels: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """True means [C] of the given spread, and what each image saw of them, [N, C]."""
    torch.manual_seed(0)
    true = spread * torch.randn(channels, dtype=torch.float64)
    return true, true + noise * torch.randn(images, channels, dtype=torch.float64)


def test_a_certain_mean_is_the_mean() -> None:
    true, seen = noisy(images=64, spread=1.0, noise=0.0)
    np.testing.assert_allclose(certain(seen), true, rtol=1e-12)


def test_pure_chance_moves_hardly_anything() -> None:
    _, seen = noisy(images=10, spread=0.0, noise=1.0)
    assert certain(seen).square().mean() < 0.1 * seen.mean(0).square().mean()


def test_it_is_nearer_to_the_truth_than_the_mean() -> None:
    true, seen = noisy(images=10, spread=0.3, noise=1.0)
    assert (certain(seen) - true).square().mean() < 0.6 * (seen.mean(0) - true).square().mean()


def test_a_channel_that_varies_more_is_believed_less() -> None:
    _, seen = noisy(images=10, spread=1.0, noise=0.1)
    torch.manual_seed(1)
    seen[:, :100] += 3 * torch.randn(10, 100, dtype=torch.float64)
    kept = certain(seen) / seen.mean(0)
    assert kept[:100].median() < 0.8 < 0.95 < kept[100:].median()


def test_one_image_is_all_there_is() -> None:
    seen = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    assert torch.equal(certain(seen), seen[0])
    assert torch.equal(certain(torch.zeros(4, 3, dtype=torch.float64)), torch.zeros(3, dtype=torch.float64))
