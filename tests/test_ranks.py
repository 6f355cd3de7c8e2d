"""Work that ranks share comes out as one process does it, to the bit, whatever their number and however uneven their parts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bitwright as bw
from bitwright.images.sources import ImageSource
from bitwright.ranks import ALONE, Ranks, share
from tests.ranks import Threaded, together

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
from torch import nn  # noqa: E402

PREPROCESS = bw.Preprocess(size=8, mean=0.5, std=0.25, mode="L")
DESCRIBED = ("--size", "8", "--mean", "0.5", "--std", "0.25", "--mode", "L")
"""The same, on a command line."""
RECIPE = bw.Recipe.parse("w4a8")


def network() -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(1, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(*parts).eval()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 31, 64, 65])
def test_every_image_is_one_ranks(count: int, size: int) -> None:
    shares = [share(count, 8, Threaded(rank, size, [], None)) for rank in range(size)]  # type: ignore[arg-type]
    assert sorted(np.concatenate(shares).tolist()) == list(range(count))
    assert all((np.diff(mine) > 0).all() for mine in shares)
    blocks = [set((mine // 8).tolist()) for mine in shares]
    assert sum(map(len, blocks)) == len(set().union(*blocks))


def artifacts(size: int, images: Callable[[], object], recipe: bw.Recipe = RECIPE) -> list[bytes]:
    """The artifact that each of `size` ranks makes."""
    prepared = [bw.prepare(network(), preprocess=PREPROCESS, recipe=recipe) for _ in range(size)]

    def work(ranks: Ranks) -> bytes:
        own = prepared[ranks.rank]
        record = bw.calibrate(own, images(), ranks=ranks)  # type: ignore[arg-type]
        return bw.convert(own, provenance={"calibration": record}).data

    return [work(ALONE)] if size == 1 else together(size, work)


def broken(folder: Path) -> ImageSource:
    """Digits as files, the third, and all of the second batch, damaged."""
    from PIL import Image

    source = bw.open_source("digits[:100]")
    for i in range(len(source)):
        path = folder / f"{i:03}.png"
        picture = source.read(i)
        Image.fromarray(np.asarray(picture).reshape(8, 8)).save(path)
        if i == 2 or i // 32 == 1:
            path.write_bytes(b"nothing")
    return bw.open_source(folder)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_calibration_gives_the_bytes_of_one_rank(size: int, tmp_path: Path) -> None:
    damaged = broken(tmp_path)
    digits = bw.open_source("digits[:107]")  # four batches, the last one short: a rank of five has none
    array = next(iter(digits.batches(PREPROCESS, 107))).images
    for images in (
        lambda: digits,
        lambda: array,
        lambda: iter([array[:50], array[50:51], array[51:]]),
        lambda: digits.batches(PREPROCESS, 13),
        lambda: damaged.batches(PREPROCESS, 32),
    ):
        (alone,) = artifacts(1, images)
        assert set(artifacts(size, images)) == {alone}


def test_corrections_of_all_kinds_give_the_bytes_of_one_rank() -> None:
    recipe = bw.Recipe.parse("w4a4")
    recipe = bw.Recipe(
        **{**vars(recipe), "algorithms": ("equalize", "smooth", "adaround", "bias_correct", "bn_restat")}
    )
    (alone,) = artifacts(1, lambda: bw.open_source("digits[:90]"), recipe)
    assert set(artifacts(2, lambda: bw.open_source("digits[:90]"), recipe)) == {alone}


def test_all_ranks_know_the_images_that_any_could_not_read(tmp_path: Path) -> None:
    source = broken(tmp_path)

    def work(ranks: Ranks) -> tuple[int, list[str]]:
        evaluation = bw.evaluate(model, source, labels="none", ranks=ranks)
        return evaluation.images, [Path(bad.name).stem for bad in evaluation.bad]

    prepared = bw.prepare(network(), preprocess=PREPROCESS)
    bw.calibrate(prepared, source)
    model = bw.convert(prepared)
    assert together(2, work) == 2 * [(67, ["002", *(f"{i:03}" for i in range(32, 64))])]


@pytest.mark.parametrize("size", [2, 3])
def test_evaluation_counts_what_one_rank_counts(size: int) -> None:
    source, float_model = bw.open_source("digits[:300]"), network()
    prepared = bw.prepare(float_model, preprocess=PREPROCESS, recipe=RECIPE)
    bw.calibrate(prepared, source)
    model = bw.convert(prepared)
    alone = bw.evaluate(model, source, reference=float_model)
    assert alone.images == 300
    assert together(size, lambda ranks: bw.evaluate(model, source, reference=float_model, ranks=ranks)) == size * [
        alone
    ]
