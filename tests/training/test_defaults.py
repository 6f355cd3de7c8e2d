"""Training with nothing said: a network that is good is good afterwards."""

import pytest
import torch

pytest.importorskip("sklearn")

import bitwright as bw
from bitwright.images.sources import ImageSource
from bitwright.training import Options
from tests.progress import Heard

PREPROCESS = bw.Preprocess(size=8, mode="L", mean=0.0, std=1.0)
ONE_EPOCH = Options(epochs=1, batch=32)


def images(part: str = "[!::5]") -> ImageSource:
    return bw.open_source(f"digits{part}")


def network() -> torch.nn.Module:
    """A linear layer that knows 9 of 10 digits, by least squares."""
    batch = next(iter(images().batches(PREPROCESS, 2000)))
    x = torch.from_numpy(PREPROCESS.normalise(batch.images)).flatten(1).double()
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    wanted = torch.nn.functional.one_hot(torch.from_numpy(batch.labels), 10).double()
    found = torch.linalg.lstsq(x.T @ x + 0.1 * torch.eye(65), x.T @ wanted).solution
    linear = torch.nn.Linear(64, 10)
    linear.weight.data, linear.bias.data = 10 * found[:64].T.float().contiguous(), 10 * found[64].float()
    return torch.nn.Sequential(torch.nn.Flatten(), linear)


@pytest.mark.parametrize("recipe", ["w8a8", "w4a8", "w4a4"])
def test_an_epoch_by_default_leaves_a_good_network_good(recipe: str) -> None:
    model = network()
    float_top1 = bw.evaluate(model, images("[::5]"), preprocess=PREPROCESS).top1
    trained = bw.train(model, images(), preprocess=PREPROCESS, recipe=recipe, options=ONE_EPOCH)
    top1 = bw.evaluate(trained, images("[::5]")).top1
    assert float_top1 is not None
    assert top1 is not None
    assert float_top1 > 88
    assert top1 > float_top1 - 3


def test_augmentations_that_the_float_model_does_not_stand_are_left_out_and_said() -> None:
    heard = Heard()
    trained = bw.train(network(), images(), preprocess=PREPROCESS, options=ONE_EPOCH, progress=heard)
    assert trained.provenance["training"]["options"]["augment"] == ()
    said = [text for text in heard.said if "no augmentation by" in text]
    assert [name in text for name, text in zip(("crop", "flip"), said, strict=True)] == [True, True]


def test_harmless_ones_are_used_and_any_that_are_named() -> None:
    class Bright(torch.nn.Module):
        """Knows how bright an image is, which neither mirroring nor a small border changes much."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(64, 2)
            self.linear.weight.data = torch.tensor([[-1.0], [1.0]]).expand(2, 64).contiguous()
            self.linear.bias.data = torch.tensor([20.0, -20.0])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.linear(x.flatten(1))
            return out

    source = images("[:64]")
    assert source.labels is not None
    dark_and_bright = ImageSource(source.reader, "brightness", source.labels % 2)
    for options, wanted in ((ONE_EPOCH, "flip"), (Options(epochs=1, batch=32, augment=("crop",)), "crop")):
        trained = bw.train(Bright(), dark_and_bright, preprocess=PREPROCESS, options=options)
        assert wanted in trained.provenance["training"]["options"]["augment"]
