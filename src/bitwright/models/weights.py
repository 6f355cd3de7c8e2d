"""A checkpoint into a module: tensors alone are read, by name, and every name and every shape has to fit."""

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from bitwright.errors import ModelError

NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the state dict inside a checkpoint; after these, any other entry is looked into."""
COMPILED = "_orig_mod."
"""What torch.compile puts in front of the names of a module, wherever that is."""

_COUNTER = "num_batches_tracked"  # of batch norms; only training reads it
_TRAINING_HEADS = ("aux1.", "aux2.", "AuxLogits.")  # of GoogLeNet and Inception; published weights have them
_SHOWN = 4


def load_weights(model: nn.Module, path: Path, name: str) -> None:
    """Load a checkpoint into `model`, which errors call `name`.

    Raises:
        ModelError: the file can't be read, holds more than tensors, or doesn't fit the model.
    """
    expected = model.state_dict()
    needed = _needed(expected)
    state = max(
        (strip_prefixes(state, expected) for state in read_state_dicts(path)),
        key=lambda state: len(needed & set(state)),
    )
    state = {key: value for key, value in state.items() if key in expected or not key.startswith(_TRAINING_HEADS)}
    missing = [key for key in expected if key in needed and key not in state]
    unexpected = [key for key in state if key not in expected]
    reshaped = [
        f"{key}: expected {list(expected[key].shape)}, found {list(value.shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    ]
    problems_of = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    if problems := [f"{len(keys)} {what} ({_some(keys)})" for what, keys in problems_of if keys]:
        raise ModelError(f"{path} does not fit {name}: {'; '.join(problems)}")
    try:
        model.load_state_dict(state, strict=False)  # only counters are missing
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit {name}: {error}") from error


def read_state_dicts(path: Path) -> list[dict[str, Tensor]]:
    """The state dicts that a checkpoint holds, the likeliest first. The file's content says what it is, not its name.

    No object is ever unpickled: `torch.load` reads `weights_only`.

    Raises:
        ModelError: the file is missing, damaged, of another kind, or holds more than tensors.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if is_safetensors(head):
            return [safetensors.torch.load_file(path)]
        if not head.startswith(PICKLES):
            raise ModelError(
                f"{path}: expected weights, as safetensors or torch.save writes them; found a file that begins with {head!r}"
            )
        with path.open("rb") as file:  # given a path, torch goes by its suffix
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
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
    return _state_dicts(checkpoint, path)


PICKLES = (b"PK\x03\x04", b"\x80\x02")
"""How files of torch.save begin: a zip archive, or, of old, a pickle."""


def is_safetensors(head: bytes) -> bool:
    """True for the beginning of a safetensors file: the length of a JSON object, and its first character."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32


def strip_prefixes(state: dict[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """Take off what wrappers put in front of every name, whatever it is: the prefix under which all expected names are there.

    Where there are several, such as `model.` and `model_ema.`, the shortest one that is no moving average is taken. Moving
    averages beside it are left out, and so are plain numbers (`n_averaged`, `step`).
    """
    needed = _needed(expected)
    state = {key: value for key, value in state.items() if value.dim() or "." in key or key in needed}
    if not any(COMPILED in name for name in needed):
        state = {key.replace(COMPILED, ""): value for key, value in state.items()}
    if not needed or needed & set(state):
        return state
    last = max(needed, key=len)
    prefixes = [key.removesuffix(last) for key in state if key.endswith(f".{last}")]
    whole = [prefix for prefix in prefixes if all(prefix + name in state for name in needed)] or prefixes
    if not whole:
        return state
    prefix = min(whole, key=lambda p: (_is_average(p), len(p)))
    kept = {key: value for key, value in state.items() if key.startswith(prefix) or not _is_average(key.split(".")[0])}
    return {key.removeprefix(prefix): value for key, value in kept.items()}


def _needed(expected: Iterable[str]) -> set[str]:
    return {name for name in expected if not name.endswith(_COUNTER)}


def _is_average(prefix: str) -> bool:
    return bool(re.search(r"ema|averag|swa", prefix, re.IGNORECASE))


def _state_dicts(checkpoint: Any, path: Path) -> list[dict[str, Tensor]]:
    """Each mapping of names to tensors in a checkpoint, the ones under the names in NESTED first; plain values don't count."""
    if not isinstance(checkpoint, Mapping):
        raise ModelError(f"{path}: expected a state dict, found {type(checkpoint).__name__}")
    found: list[dict[str, Tensor]] = []
    waiting: list[Mapping[Any, Any]] = [checkpoint]
    while waiting:
        mapping = waiting.pop(0)
        tensors = {key: value for key, value in mapping.items() if isinstance(key, str) and isinstance(value, Tensor)}
        keys = sorted(mapping, key=lambda key: NESTED.index(key) if key in NESTED else len(NESTED))
        nested = [mapping[key] for key in keys if isinstance(mapping[key], Mapping)]
        found += [tensors] if tensors else []
        waiting = nested + waiting
    if not found:
        raise ModelError(
            f"{path}: expected a state dict, or one under {', '.join(NESTED)}; found other things than tensors: "
            f"{_some([str(key) for key in checkpoint])}"
        )
    return found


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
