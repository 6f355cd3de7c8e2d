"""A checkpoint into a module: tensors alone are read, by name, and every name and every shape has to fit."""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from bitwright.errors import ModelError

NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the state dict inside a checkpoint."""
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
"""What wrappers put in front of every name: DataParallel, torch.compile, Lightning, and detection code."""
PICKLES = (".pth", ".pt", ".bin")

_COUNTER = "num_batches_tracked"  # of batch norms; only training reads it
_TRAINING_HEADS = ("aux1.", "aux2.", "AuxLogits.")  # of GoogLeNet and Inception; published weights have them
_SHOWN = 4


def load_weights(model: nn.Module, path: Path, name: str) -> None:
    """Load a checkpoint into `model`, which errors call `name`.

    Raises:
        ModelError: the file can't be read, holds more than tensors, or doesn't fit the model.
    """
    expected = model.state_dict()
    state = strip_prefixes(read_state_dict(path), expected)
    state = {key: value for key, value in state.items() if key in expected or not key.startswith(_TRAINING_HEADS)}
    missing = [key for key in expected if key not in state and not key.endswith(_COUNTER)]
    unexpected = [key for key in state if key not in expected]
    reshaped = [
        f"{key}: expected {list(expected[key].shape)}, found {list(value.shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    ]
    found = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    if problems := [f"{len(keys)} {what} ({_some(keys)})" for what, keys in found if keys]:
        raise ModelError(f"{path} does not fit {name}: {'; '.join(problems)}")
    try:
        model.load_state_dict(state, strict=False)  # only counters are missing
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit {name}: {error}") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name. No object is ever unpickled: `torch.load` reads `weights_only`.

    Raises:
        ModelError: the file is missing, damaged, of another kind, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix not in PICKLES:
            raise ModelError(f"{path}: expected weights in a .safetensors file, or in a {', '.join(PICKLES)}")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: refused, because it holds something else than tensors, or is damaged; load it where you trust it, "
            "and save model.state_dict() alone, best with safetensors.torch.save_file"
        ) from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # damaged files make torch's and safetensors' readers raise many types
        raise ModelError(
            f"{path}: cannot read it as weights: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
        ) from error
    return _unwrap(checkpoint, path)


def strip_prefixes(state: dict[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """Take the prefixes of wrappers off, as long as all names have one and none is a name that is expected."""
    names = set(expected)
    while state and not names & set(state):
        prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _unwrap(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(checkpoint, Mapping):
        nested = next((key for key in NESTED if isinstance(checkpoint.get(key), Mapping)), None)
        if nested is None:
            break
        checkpoint = checkpoint[nested]
    if not isinstance(checkpoint, Mapping):
        raise ModelError(f"{path}: expected a state dict, found {type(checkpoint).__name__}")
    others = [str(key) for key, value in checkpoint.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if others:
        raise ModelError(
            f"{path}: expected a state dict, or one under {', '.join(NESTED)}; found other things than tensors: {_some(others)}"
        )
    return dict(checkpoint)


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
