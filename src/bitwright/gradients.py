"""Whether PyTorch follows gradients where bitwright is called from, and where it works."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def own_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function outside of `torch.no_grad` and `torch.inference_mode`, which its caller may be in: it needs gradients."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.inference_mode(False), torch.enable_grad():
            return function(*args, **kwargs)

    return called
