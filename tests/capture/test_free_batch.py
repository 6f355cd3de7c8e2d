"""Programs that were exported for so many images take any number, and compute the same."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.capture.free_batch import fixed_image, freed_sizes, with_free_batch
from bitwright.errors import CaptureError
from bitwright.models import load_model


class Tokens(nn.Module):
    """Sizes of the batch in views, a class token that is expanded, and attention with the heads in front."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.qkv, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 24), nn.Linear(8, 5)
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        x = self.patch(x).view(n, 8, 4).transpose(1, 2)
        x = torch.cat([self.token.expand(n, -1, -1), x], 1)
        q, k, v = self.qkv(x).reshape(n, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = (0.5 * q @ k.transpose(2, 3)).softmax(3) @ v
        return self.head((x + y.transpose(1, 2).reshape(n, -1, 8))[:, 0])


def exported(model: nn.Module, batch: int, dtype: torch.dtype = torch.float32) -> torch.export.ExportedProgram:
    return torch.export.export(model.to(dtype).eval(), (torch.zeros(batch, 3, 8, 8, dtype=dtype),))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_is_freed_and_layers_keep_their_names(batch: int) -> None:
    free = with_free_batch(exported(Tokens(), batch))
    assert fixed_image(free) == (-1, 3, 8, 8)
    assert with_free_batch(free) is free
    assert fixed_image(with_free_batch(exported(Tokens(), batch, torch.float64))) == (-1, 3, 8, 8)
    x = torch.randn(7, 3, 8, 8)
    torch.testing.assert_close(free.module()(x), Tokens().eval()(x))
    graph = bw.float_model(exported(Tokens(), batch)).capture((3, 8, 8)).graph
    assert {"patch", "qkv", "head"} <= {node.name for node in graph.nodes}


def test_a_file_of_batch_1_is_quantized_as_the_module_is(tmp_path) -> None:
    path, images = str(tmp_path / "tokens.pt2"), np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
    torch.export.save(exported(Tokens(), 1), path)
    loaded = load_model(path)
    assert loaded.stem is not None
    assert loaded.stem.fixed == {"size": (8, 8)}
    made = [bw.quantize(m, images, preprocess=bw.Preprocess(size=8)) for m in (loaded.float_model, Tokens().eval())]
    found, expected = (bw.Engine(artifact)(images) for artifact in made)
    np.testing.assert_array_equal(found, expected)


class Mixes(nn.Module):
    """Images that know of each other."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0, keepdim=True)).mean((2, 3))


class Fixed(nn.Module):
    """The batch as a number that is no reshape's."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) + torch.ones(x.shape[0], 1).cumsum(0)


@pytest.mark.parametrize(("model", "why"), [(Mixes(), "something else of the same image"), (Fixed(), "")])
def test_what_cannot_be_freed_is_told_how_to_export(model: nn.Module, why: str) -> None:
    with pytest.raises(CaptureError, match=f"a batch of 4, which cannot be freed: .*{why}.*export it with a dynamic"):
        with_free_batch(exported(model, 4))


def test_sizes_of_a_reshape() -> None:
    n = object()  # whatever is no number stands for the batch
    assert freed_sizes((n, 8, 4), (1, 32), 1) == [-1, 32]
    assert freed_sizes((2, n, 4), (2, 3, -1), 3) == [2, -1, 4]
    assert freed_sizes((n, 6), (2, 3, 2), 2) == [-1, 3, 2]
    assert freed_sizes((2, n), (6,), 3) is None
    assert freed_sizes((1, 8), (8,), 1) is None
