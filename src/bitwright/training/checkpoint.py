"""A checkpoint of a training run: one safetensors file, tensors and JSON, written whole or not at all. No pickle.

The order of the images and the augmentation follow from the seed and the step, so a resumed run goes on to the bit.
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bitwright.errors import TrainingError
from bitwright.files import write_atomically
from bitwright.json_keys import each_key_once
from bitwright.registry import Foreign

Tensors = dict[str, Tensor]


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: Tensors, record: dict[str, Any]
) -> None:
    """Write everything that the run needs to go on. TrainingError where the file cannot be written."""
    tensors = {f"model:{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average:{name}": tensor for name, tensor in average.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer:{index}:{name}": value for name, value in state.items() if torch.is_tensor(value)}
    copies = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(copies, {"training": json.dumps(record)}), TrainingError)


def read_record(path: Path) -> dict[str, Any]:
    """The record of the run; TrainingError where the file is no checkpoint."""
    try:
        with safe_open(path, "pt") as file:
            record: dict[str, Any] = json.loads((file.metadata() or {})["training"], object_pairs_hook=each_key_once)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(f"cannot go on from {path}: it is not a checkpoint of bitwright train ({error})") from error
    return record


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: Tensors) -> None:
    """Put everything back; TrainingError where the tensors do not fit this model."""
    tensors = _tensors(path)
    try:
        model.load_state_dict(_part(tensors, "model:"))
    except RuntimeError as error:
        raise TrainingError(f"cannot resume from {path}: it is of another model or recipe") from error
    average |= _part(tensors, "average:")
    state: dict[int, Tensors] = {}
    for name, tensor in _part(tensors, "optimizer:").items():
        index, key = name.split(":")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def recipe(path: Path) -> str:
    """The name of the recipe that the run was at."""
    record = read_record(path)
    name: str = record["options"]["stages"][record["stage"]]
    return name


def learned(path: Path) -> Tensors:
    """The model's tensors; the average's where one was kept. TrainingError where the file is no checkpoint."""
    read_record(path)
    tensors = _tensors(path)
    return _part(tensors, "model:") | _part(tensors, "average:")


def foreign(path: Path) -> set[Foreign]:
    """What of other distributions had a part in the run, and in those that it started from. TrainingError: no checkpoint."""
    try:
        return {Foreign.from_json(found) for found in read_record(path).get("foreign", ())}
    except (TypeError, KeyError) as error:
        raise TrainingError(f"cannot go on from {path}: its record of plugins is damaged ({error!r:.100})") from error


def _tensors(path: Path) -> Tensors:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _part(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
