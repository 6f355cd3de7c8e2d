"""`simplified`: functions written out, constants folded, what nothing reads left out; by onnx_ir and onnxscript."""

import math

import onnx_ir as ir
from onnx import ModelProto
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants, remove_unused_nodes

from bitwright.capture.onnx.qoperators import written_out
from bitwright.capture.onnx.reading import DOMAINS, first_line
from bitwright.capture.quiet import quiet
from bitwright.errors import ModelError

MAX_FOLDED = 2**18
"""How many numbers a folded constant has at most: what is larger is computed when the graph is captured."""
MOST = 2**26
"""How many numbers an image has at most."""
_OF_SIZES = ("Shape", "Size", "Gather", "Concat", "Slice", "Unsqueeze", "Squeeze", "Cast", "Identity", "If")
"""Ops that never make much of little, so that they are folded even where the size of the result is unknown."""


def simplified(model: ModelProto, name: str) -> ir.Model:
    """The model with its batch free, whatever batch it was written for.

    Raises:
        ModelError: it is inconsistent.
    """
    try:
        with quiet():
            found = ir.from_proto(model)
            common.InlinePass()(found)
            written_out(found)
            _free_batch(found)
            fold_constants(found, onnx_shape_inference=True, should_fold=_is_small)
            remove_unused_nodes(found)
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(found)
            common.TopologicalSortPass()(found)
            _name_domains(found)
    except Exception as error:  # onnx_ir raises what it likes for a graph that is inconsistent
        raise ModelError(f"{name}: cannot be simplified: {first_line(error)}") from error
    return found


def images_input(model: ir.Model, name: str) -> ir.Value:
    """The one input that no initializer fills."""
    graph = model.graph
    found = [value for value in graph.inputs if value.name not in graph.initializers]
    if len(found) != 1:
        raise ModelError(f"{name}: expected one input, the image, found {[value.name for value in found]}")
    shape = found[0].shape
    if shape is None or len(shape) != 4:
        raise ModelError(f"{name}: expected images, 4 axes, as its input {found[0].name!r}; found {shape}")
    numbers = math.prod(size for size in shape[1:] if isinstance(size, int))
    if numbers > MOST:
        raise ModelError(f"{name}: expected images of at most {MOST} numbers, found {shape}")
    return found[0]


def _free_batch(model: ir.Model) -> None:
    """Forget the batch that the model was exported with, and every shape that was inferred from it."""
    for value in model.graph.inputs:
        if value.shape is not None and len(value.shape) and value.name not in model.graph.initializers:
            value.shape = ir.Shape(["batch", *value.shape[1:]])
    for node in model.graph:
        for output in node.outputs:
            output.shape = None


def _name_domains(model: ir.Model) -> None:
    """Put the domain into the name of an op that is not ONNX's own: what comes behind asks for ops by their names."""
    for node in model.graph:
        if node.domain not in DOMAINS:
            node.op_type = f"{node.domain}.{node.op_type}"


def _is_small(node: ir.Node) -> bool | None:
    """Whether a node may be folded: None lets onnxscript decide, False keeps it."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return False
    for output in node.outputs:
        sizes = [size for size in output.shape or () if isinstance(size, int)]
        if output.shape is None or len(sizes) < len(output.shape):
            if node.op_type not in _OF_SIZES:
                return False
        elif math.prod(sizes) > MAX_FOLDED:
            return False
    return None
