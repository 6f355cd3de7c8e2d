"""What one code of a weight is worth, by the codes and the float weights that they were rounded from."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def weight_steps(codes: npt.NDArray[np.int8], real: Floats, groups: int) -> Floats:
    """What one code is worth in each channel and group [O * groups], as most of the large weights have it."""
    rows, numbers = codes.reshape(codes.shape[0] * groups, -1).astype(float), real.reshape(len(codes) * groups, -1)
    large = np.abs(rows) >= np.maximum(1, np.abs(rows).max(axis=1, keepdims=True) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(large & (numbers != 0), numbers / rows, np.nan)
    count, ordered = (~np.isnan(ratio)).sum(axis=1), np.sort(ratio, axis=1)  # what is no number comes last
    middle = np.maximum(np.stack([(count - 1) // 2, count // 2], axis=1), 0)
    medians = np.take_along_axis(ordered, middle, axis=1).mean(axis=1)
    steps: Floats = np.abs(np.where(count > 0, medians, 0.0))
    return steps
