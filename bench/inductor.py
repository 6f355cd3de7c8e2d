"""PyTorch's own int8: exported, quantized for x86 (torchao's PT2E) and compiled by Inductor, which needs a C++ compiler."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.floats import FloatNetwork


class RefusedError(Exception):
    """A toolkit cannot take a network; the message says why."""


def inductor(network: FloatNetwork, threads: int) -> Callable[[npt.NDArray[np.uint8]], Callable[[], Any]]:
    """Compiles for the images' batch size and this number of threads. RefusedError with PyTorch's reason where it fails."""

    def prepared(images: npt.NDArray[np.uint8]) -> Callable[[], npt.NDArray[np.float32]]:
        given = torch.from_numpy(network.normalized(images))
        torch.set_num_threads(threads)
        try:
            run = _compiled(network, given)
        except ImportError as error:
            raise RefusedError(f"not measured, for this machine has no {error.name}") from error
        except Exception as error:
            raise RefusedError(f"{type(error).__name__}: {str(error).strip().splitlines()[0]:.120}") from error

        def infer() -> npt.NDArray[np.float32]:
            with torch.no_grad():
                return np.asarray(run(given).numpy())

        return infer

    return prepared


def _compiled(network: FloatNetwork, given: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Fails here, not later: the first call, in which Inductor compiles, is part of it."""
    import torch._inductor.config
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    torch._dynamo.reset()
    torch._inductor.config.freezing = True  # weights are constants, or nothing is fused
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    batches = max(1, len(network.images) // len(given))
    images = np.resize(network.images, (batches * len(given), *network.images.shape[1:]))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = prepare_pt2e(torch.export.export(network.model, (given,)).module(), quantizer)
        for start in range(0, len(images), len(given)):
            model(torch.from_numpy(network.normalized(images[start : start + len(given)])))
        model = convert_pt2e(model)
        move_exported_model_to_eval(model)
        compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(model)
        compiled(given)
    return compiled
