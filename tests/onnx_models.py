"""Small ONNX models for tests, written node by node."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
FLOAT = TensorProto.FLOAT
LATEST = 21


def op(kind: str, inputs: str | Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    """A node; inputs are separated by blanks, and `-` is one that is left out."""
    names = inputs.split() if isinstance(inputs, str) else list(inputs)
    names = ["" if name == "-" else name for name in names]
    return helper.make_node(kind, names, output.split(), name=f"{kind}_{output.split()[0]}", **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    tensors: Mapping[str, Array] | None = None,
    shape: Sequence[int | str] = ("N", 3, 8, 8),
    *,
    opset: int = 17,
    kind: int = FLOAT,
    metadata: Mapping[str, str] | None = None,
    domains: Sequence[str] = (),
) -> ModelProto:
    """A model from `x` to what the last node computes; `domains` are those of its nodes that are not of ONNX."""
    output = nodes[-1].output[0]
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(output, FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (tensors or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(made, dict(metadata or {}))
    made = onnx.shape_inference.infer_shapes(made)
    if not made.graph.output[0].type.tensor_type.HasField("shape"):  # of a function, whose shapes onnx does not infer
        made.graph.output[0].type.tensor_type.shape.CopyFrom(made.graph.input[0].type.tensor_type.shape)
    return made


def saved(made: ModelProto, folder: Path) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def weights(seed: int = 0, **shapes: Sequence[int]) -> dict[str, Array]:
    """Normal numbers, about as large as keeps values their size."""
    rng = np.random.default_rng(seed)
    spread = {name: max(1.0, float(np.prod(shape[1:]))) ** -0.5 for name, shape in shapes.items()}
    return {
        name.replace("__", "."): rng.normal(0, spread[name], tuple(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def images(count: int = 3, shape: Sequence[int] = (3, 8, 8), seed: int = 1) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, (count, *shape)).astype(np.float32)


def reference(made: ModelProto, x: Array) -> Array:
    """What ONNX's own evaluator computes."""
    from onnx.reference import ReferenceEvaluator

    results: Any = ReferenceEvaluator(made).run(None, {"x": x})
    found: Array = results[0]
    return found
