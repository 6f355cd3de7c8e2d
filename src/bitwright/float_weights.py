"""`FloatWeights`: a float model's own tensors as corrections have left them, for those who go on with another tool.

A prepared model has fused its modules, so tensors are found by what they held before anything was corrected, whatever the
fused layers are called. Numbers that no tensor of the model holds, such as a bias that bias_correct adds to a layer without
one, get the name that PyTorch would give them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor, nn

from bitwright.capture import unwrap
from bitwright.errors import ModelError
from bitwright.files import write_atomically
from bitwright.models.float_models import TorchModel
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer

SOURCES = ("weight", "bias", "bn_weight", "bn_bias", "slope", "value")
"""The tensors of a fused node that may be tensors of the model."""


@dataclass(frozen=True)
class Place:
    """A tensor of a fused node, and where the model has it: its name, and whether it lies there turned."""

    layer: str
    tensor: str
    name: str
    turned: bool = False


class FloatWeights:
    """Made of a model and what `prepare` made of it, before calibration; `state` is for afterwards.

    ModelError for what is no module of PyTorch, and so has no names.
    """

    def __init__(self, model: object, prepared: PreparedModel) -> None:
        state = _state(unwrap(model.model if isinstance(model, TorchModel) else model))
        self._state = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        self._prepared = prepared
        self._before = {key: tensor.detach().cpu().clone() for key, tensor in _tensors(prepared).items()}
        self._places = list(_found(self._before, self._state, prepared))

    def state(self) -> tuple[dict[str, Tensor], list[str]]:
        """The model's state, by its names, as corrections have left it; and what of them the model has no tensor for."""
        state, now, told = dict(self._state), _tensors(self._prepared), list[str]()
        placed = set()
        for place in self._places:
            new, old = now[place.layer, place.tensor].detach().cpu(), self._state[place.name]
            if not torch.equal(new, self._before[place.layer, place.tensor]):
                state[place.name] = (new.t() if place.turned else new).reshape(old.shape).to(old.dtype).contiguous()
            placed.add((place.layer, place.tensor))
        for (layer, tensor), new in now.items():
            before = self._before.get((layer, tensor))
            if (layer, tensor) in placed or (before is not None and torch.equal(new.cpu(), before)) or not new.any():
                continue
            if tensor == "bias" and before is None and f"{layer}.weight" in state:
                state[f"{layer}.bias"] = new.detach().cpu().contiguous()
                told.append(f"{layer}.bias is new: give the layer a bias to load it")
            else:
                told.append(f"{layer} ({tensor}) was changed, and the model has no tensor of its own for it")
        return state, [*told, *_factors(self._prepared)]

    def save(self, path: str | PathLike[str], provenance: Mapping[str, str] | None = None) -> list[str]:
        """Write the state as safetensors; what the model has no tensor for is told, and in the metadata.

        Raises:
            ModelError: it cannot be written.
        """
        state, told = self.state()
        metadata = {"format": "pt", **(provenance or {}), **({"notes": "\n".join(told)} if told else {})}
        plain = {name: tensor.contiguous().clone() for name, tensor in state.items()}
        write_atomically(path, safetensors.torch.save(plain, metadata), ModelError)
        return told


def _state(model: nn.Module | torch.export.ExportedProgram) -> Mapping[str, Tensor]:
    found: Mapping[str, Any] = model.state_dict()
    return {name: tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}


def _tensors(prepared: PreparedModel) -> dict[tuple[str, str], Tensor]:
    """The tensors of all fused nodes as their quantized layers have them, but for the rounding to codes."""
    found: dict[tuple[str, str], Tensor] = {}
    for node in prepared.graph.nodes:
        layer: Layer = prepared.layer(node.name)
        corrected = layer.corrected()
        if (
            layer.quantizer is not None
            and "bias" in corrected
            and "bias" not in layer.names
            and not layer.correction.any()
        ):
            del corrected["bias"]
        found |= {(node.name, key): tensor for key, tensor in corrected.items() if key in SOURCES}
    return found


def _factors(prepared: PreparedModel) -> list[str]:
    """Layers that multiply what they read or write by factors, which only their integer form can."""
    return [
        f"{node.name} multiplies channels by factors of its own, which the model has no tensor for"
        for node in prepared.graph.nodes
        if prepared.layer(node.name).scales_channels
    ]


def _found(
    tensors: Mapping[tuple[str, str], Tensor], state: Mapping[str, Tensor], prepared: PreparedModel
) -> "list[Place]":
    """Where the model has the tensors of fused nodes: by their bytes, and among equal ones by names that begin alike."""
    by_bytes: dict[bytes, list[str]] = {}
    for name, tensor in state.items():
        by_bytes.setdefault(_key(tensor), []).append(name)
    free, places = set(state), []
    for (layer, key), tensor in tensors.items():
        origin = prepared.graph[layer].origin or layer
        for turned in (False, True) if tensor.dim() == 2 else (False,):
            names = by_bytes.get(_key(tensor.t() if turned else tensor), [])
            names = [name for name in names if name in free and name.endswith(_ending(key))] or [
                n for n in names if n in free
            ]
            if names:
                name = max(names, key=lambda name: _alike(name, origin))
                free.discard(name)
                places.append(Place(layer, key, name, turned))
                break
    return places


def _ending(key: str) -> str:
    return key.removeprefix("bn_") if key != "value" else ""


def _key(tensor: Tensor) -> bytes:
    array: npt.NDArray[Any] = tensor.detach().cpu().float().contiguous().numpy()
    return np.ascontiguousarray(array).tobytes()


def _alike(name: str, origin: str) -> int:
    """How many characters two names begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(name, origin, strict=False)) if a != b), min(len(name), len(origin)))
