"""`Sample`: some images of a stream, as good as drawn at random, whatever the order of the stream."""

import numpy as np
import pytest
import torch

from bitwright.algorithms.correction.sample import Picked, Sample
from bitwright.algorithms.correction.values import Memory
from bitwright.ranks import Ranks
from tests.ranks import together

IMAGES = np.random.default_rng(0).integers(0, 256, (400, 2, 2, 1), dtype=np.uint8)
NUMBERS = torch.arange(400.0)[:, None]


def drawn(
    order: np.ndarray, *, most: int = 40, batch: int = 32, seed: int = 0, labels: np.ndarray | None = None
) -> list[int]:
    """The numbers of the images that are kept when these come in this order; checks that each image stands with its logits."""
    counts = None if labels is None else dict(enumerate(np.bincount(labels).tolist()))
    sample = Sample(Memory(2**20).values((most, 2, 2, 1), np.uint8), seed, counts)
    for start in range(0, len(order), batch):
        rows = np.ascontiguousarray(order[start : start + batch])
        sample.add(IMAGES[rows], None if labels is None else labels[rows], NUMBERS[rows])
    numbers = sample.logits()[:, 0].long()
    kept = Picked(sample.images, sample.order())
    np.testing.assert_array_equal(kept[slice(0, len(kept))].numpy(), IMAGES[numbers])
    return list(numbers.tolist())


def test_neither_order_nor_batches_make_a_difference_but_the_seed_does() -> None:
    forwards, labels = np.arange(400), np.repeat(np.arange(8), 50)
    shuffled = np.random.default_rng(1).permutation(400)
    for names in (None, labels):
        first = drawn(forwards, labels=names)
        assert drawn(forwards[::-1], labels=names) == drawn(shuffled, labels=names, batch=7) == first
        assert drawn(forwards, labels=names, seed=1) != first


def test_it_is_spread_over_the_whole_stream() -> None:
    """40 of 400: a quarter of the stream should have about ten; fewer than three happen once in a thousand times."""
    for seed in range(5):
        assert (np.bincount(np.array(drawn(np.arange(400), seed=seed)) // 100, minlength=4) >= 3).all()


def test_every_class_gets_its_share_in_every_first_part() -> None:
    labels = np.repeat([0, 1, 2], [200, 160, 40])
    kept = drawn(np.arange(400), labels=labels)
    for n in (10, 20, 40):
        share = np.bincount(labels[kept[:n]], minlength=3)
        assert (np.abs(share - n * np.array([0.5, 0.4, 0.1])) <= 1).all()


def test_the_same_image_is_kept_once_and_few_are_all_kept() -> None:
    assert sorted(drawn(np.array([3, 3, 5, 3, 7, 5]))) == [3, 5, 7]
    assert sorted(drawn(np.array([3] * 50 + [5]), most=2)) == [3, 5]


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("labelled", [False, True])
def test_ranks_keep_what_one_keeps(size: int, labelled: bool) -> None:
    """Some ranks see some classes alone; one image is seen by two of them, and once with another label."""
    labels = np.repeat(np.arange(8), 50)
    counts = dict(enumerate(np.bincount(labels).tolist())) if labelled else None
    order = [*range(400), 7, 399]
    given = [*labels.tolist(), 7, 7] if labelled else [0] * 402

    def kept(ranks: Ranks) -> list[float]:
        sample = Sample(Memory(2**20).values((40, 2, 2, 1), np.uint8), 0, counts)
        for k in range(len(order)):
            if k * size // len(order) == ranks.rank:
                rows = order[k : k + 1]
                sample.add(IMAGES[rows], np.array(given[k : k + 1]), NUMBERS[rows])
        if ranks.size > 1:
            sample.merge(ranks)
        numbers = sample.logits()[:, 0].long()
        np.testing.assert_array_equal(Picked(sample.images, sample.order())[slice(0, 40)].numpy(), IMAGES[numbers])
        return list(sample.logits()[:, 0].tolist())

    alone = Sample(Memory(2**20).values((40, 2, 2, 1), np.uint8), 0, counts)
    alone.add(IMAGES[order], np.array(given), NUMBERS[order])
    assert together(size, kept) == size * [alone.logits()[:, 0].tolist()]
