"""`open_onnx`: a file, read, checked, simplified and made a module."""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from onnx import ModelProto
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from bitwright.capture.onnx.first import first_of
from bitwright.capture.onnx.idioms import recognise
from bitwright.capture.onnx.network import OnnxNetwork
from bitwright.capture.onnx.quantized import dequantized
from bitwright.capture.onnx.reading import DOMAINS, first_line, read
from bitwright.capture.onnx.simplify import images_input, simplified
from bitwright.capture.quiet import quiet
from bitwright.capture.stem import Stem
from bitwright.errors import BitwrightError, CaptureError, ModelError
from bitwright.json_keys import TwiceError, each_key_once

NAMES = ("classes", "names", "class_names", "labels", "id2label")
"""Where files keep the names of their classes, in their metadata."""


@dataclass(frozen=True)
class Opened:
    """A network, what the file does before it, and the names of the classes, a list or a mapping, if it has any."""

    network: OnnxNetwork
    stem: Stem
    classes: Any = None


def open_onnx(path: str) -> Opened:
    """Open a file.

    Raises:
        ModelError: see `reading.read`; or a node is of an op that is not known, or the graph contradicts itself.
    """
    try:
        return _opened(path)
    except BitwrightError:
        raise
    except Exception as error:  # onnx_ir, NumPy and torch raise what they like for sizes and types that make no sense
        raise ModelError(f"{path}: the graph contradicts itself: {first_line(error)}") from error


def _opened(path: str) -> Opened:
    proto = read(path)
    batch = _batch(proto)
    classes = _classes({entry.key: entry.value for entry in proto.metadata_props})
    model = simplified(proto, path)
    first = first_of(images_input(model, path))
    file = dequantized(model, first.value)
    recognise(model, _stored(proto), first.value)
    network = OnnxNetwork(model, first, batch, path)
    network.file = file
    if batch is not None and first.stem.size is not None:
        _free(network, first.stem.channels or 3, first.stem.size)
    return Opened(network, first.stem, classes)


def _stored(model: ModelProto) -> set[str]:
    """The tensors of the file; torch.onnx stores equal ones once, and the others as their `Identity`."""
    found = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Identity" and node.domain in DOMAINS and set(node.input) <= found:
            found.update(node.output)
    return found


def _batch(model: ModelProto) -> int | None:
    """The batch that a model was exported for; None where it is free."""
    filled = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in filled and len(dims) and dims[0].dim_value > 0:
            return int(dims[0].dim_value)
    return None


def _free(network: OnnxNetwork, channels: int, size: tuple[int, int]) -> None:
    """Run it once on no numbers, with a symbol for the batch, so that it sees which axes of its reshapes are the batch."""
    environment = ShapeEnv()
    context: Any = StatelessSymbolicContext(dynamic_sizes=[DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * 3])
    mode = torch._subclasses.FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
    x = mode.from_tensor(torch.empty(2, channels, *size), symbolic_context=context)
    try:
        with quiet(), torch.no_grad(), mode:
            network(x)
    except BitwrightError:
        raise
    except Exception as error:  # torch raises what it likes
        raise CaptureError(f"its batch cannot be freed: {str(error).splitlines()[0]}") from error


def _classes(metadata: Mapping[str, str]) -> Any:
    """The names of the classes as JSON, as a literal of Python (as Ultralytics writes them), or one a line."""
    text = next((metadata[name] for name in NAMES if metadata.get(name)), None)
    if text is None:
        return None
    for parse in (partial(json.loads, object_pairs_hook=each_key_once), ast.literal_eval):
        try:
            found = parse(text)
        except TwiceError as error:
            raise ModelError(f"the names of classes in the file's metadata: {error}") from error
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
        if isinstance(found, list | tuple):
            return [str(name) for name in found]
    lines = text.splitlines() if "\n" in text else text.split(",")
    return [line.strip() for line in lines if line.strip()]
