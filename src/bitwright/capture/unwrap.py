"""`unwrap`: what torch.export takes, out of its wrappers; anything else is refused with a word on what to do."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bitwright.errors import ModelError

Exportable = nn.Module | torch.export.ExportedProgram


def unwrap(model: Any) -> Exportable:
    """The module or exported program itself, out of `torch.compile`, DataParallel, DistributedDataParallel and AveragedModel.

    Raises:
        ModelError: it is something else; the message says what it was taken for, and what to do.
    """
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
    while True:
        if _is_compiled(model):
            model = model._orig_mod
        elif isinstance(model, wrappers):
            model = model.module
        elif isinstance(model, torch.jit.ScriptModule):
            raise ModelError(
                _expected("a TorchScript module", "pass the nn.Module that it was scripted or traced from")
            )
        elif isinstance(model, Exportable):
            return model
        else:
            raise ModelError(_expected(*_guess(model)))


def _is_compiled(model: Any) -> bool:
    """Whether it is of `torch.compile`, whose module takes a second to import: while nobody has, there is no such model."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(model, compiler.OptimizedModule)


def _expected(found: str, advice: str) -> str:
    return f"expected a float model, a torch.nn.Module or a torch.export.ExportedProgram, found {found}; {advice}"


def _guess(model: Any) -> tuple[str, str]:
    """For an error: what an object that is no model seems to be, and what to do instead."""
    if model is None:
        return "None", "does the function that makes the model return it?"
    if isinstance(model, type):
        return f"the class {model.__name__}", f"pass an instance of it: {model.__name__}(...)"
    if isinstance(model, str | bytes | os.PathLike):
        return f"{model!r:.80}", "load it first, with bitwright.models.load_model(...).model"
    if isinstance(model, Mapping):
        tensors = sum(isinstance(value, torch.Tensor) for value in model.values())
        found = f"a dict of {tensors} tensors" if tensors else "a dict"
        return found, "make the model, call model.load_state_dict(...) with its state dict, and pass the model"
    inner = next((name for name in ("model", "module") if isinstance(getattr(model, name, None), Exportable)), None)
    if inner is not None:
        return f"a {type(model).__name__}", f"pass what it holds, its attribute {inner!r}"
    if callable(model):
        return (
            f"the function {getattr(model, '__name__', model)!r:.80}",
            "pass the module that it returns, or wrap it in one",
        )
    return f"{type(model).__name__} {model!r:.80}", "pass the model itself"
