"""scikit-learn's handwritten digits, enlarged to small RGB pictures on disk: a folder per class, for training and held out.

Ink and paper get colours by chance, the ink always much darker, so that the pictures need all three channels. The last
fifth of the digits is held out: other people wrote most of it.
"""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import bitwright as bw

SIZE = 32
SPLITS = {"train": "digits[:1440]", "heldout": "digits[1440:]"}


def write_pictures(folder: Path, *, every: int = 1, seed: int = 0) -> dict[str, Path]:
    """Write every `every`-th digit as `folder/SPLIT/CLASS/NUMBER.png`; returns the folder of each split.

    What was in `folder` is removed. The same seed gives the same pixels.
    """
    shutil.rmtree(folder, ignore_errors=True)
    random = np.random.RandomState(seed)
    for split, spec in SPLITS.items():
        source = bw.open_source(f"{spec}[::{every}]")
        assert source.labels is not None
        for i, label in enumerate(source.labels):
            path = folder / split / str(label) / f"{i:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            _colour(np.asarray(source.read(i)), random).save(path)
    return {split: folder / split for split in SPLITS}


def _colour(grey: npt.NDArray[np.uint8], random: np.random.RandomState) -> Image.Image:
    """A grey picture, white on black, as ink on paper, enlarged to SIZE x SIZE."""
    ink, paper = random.randint(0, 120, 3), random.randint(150, 256, 3)
    large = Image.fromarray(grey.reshape(grey.shape[:2])).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    amount = np.asarray(large, np.float64)[..., None] / 255
    return Image.fromarray(np.rint(paper + (ink - paper) * amount).astype(np.uint8))
