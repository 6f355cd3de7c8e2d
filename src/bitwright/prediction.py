"""What logits say: the class of each image, and how probable each class is. The one place that knows of single logits.

A model of K outputs has K classes, and the greatest logit wins. A model of one output x, trained with binary cross-entropy,
has two classes: class 1 has the probability sigmoid(x) and wins where x > 0. That is a model of the two logits (0, x), since
softmax(0, x) = (1 - sigmoid(x), sigmoid(x)), so everything else is said of K logits.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import EngineError

Floats = npt.NDArray[np.floating[Any]]


def class_count(outputs: int) -> int:
    """How many classes a model of so many outputs tells apart: two where there is one output."""
    return 2 if outputs == 1 else outputs


def class_logits(logits: Floats) -> Floats:
    """A logit for each class, [N, classes], from those of a model, [N, outputs]."""
    return np.pad(logits, ((0, 0), (1, 0))) if logits.shape[1] == 1 else logits


def classes_of(logits: Floats) -> npt.NDArray[np.int64]:
    """The class of each image, int64 [N], from logits [N, outputs]; of equal logits the first class wins."""
    result: npt.NDArray[np.int64] = class_logits(logits).argmax(axis=1).astype(np.int64)
    return result


def probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    """The probability of each class, [N, classes], from logits [N, outputs]: softmax, or a sigmoid where there is one.

    Raises EngineError where a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise EngineError("the model's logits are not finite; its multipliers are damaged")
    result: npt.NDArray[np.float64] = np.exp(log_probabilities(logits))
    return result


def log_probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    """The logarithm of each class's probability, [N, classes], from logits [N, outputs]."""
    each = class_logits(logits).astype(np.float64)
    shifted = each - each.max(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def are_probabilities(outputs: Floats) -> bool:
    """Whether rows [N, K > 1] are no logits but probabilities: none is below 0, and each row's sum is 1."""
    rows = outputs.astype(np.float64)
    return rows.shape[1] > 1 and bool((rows >= 0).all()) and bool((np.abs(rows.sum(axis=1) - 1) < _ROUNDED).all())


_ROUNDED = 0.02  # how far a sum of probabilities in bfloat16 may be from 1
