"""`to_onnx`: an artifact as an ONNX model, with the artifact's own codes and scales.

The form that other tools read, `qdq`, is of QuantizeLinear and DequantizeLinear: runtimes compute the same real functions with
roundings of their own, so that codes may differ. `exact` is of integer ops, and gives the artifact's own integers. `bitwright
compare` says how far a runtime is from them, and how many labels change.
"""

import json
from typing import Any, Literal

import numpy as np
import onnx
from onnx import ModelProto, helper

from bitwright.artifact import Artifact
from bitwright.errors import GraphError
from bitwright.export import exact, ops
from bitwright.export.draft import FLOAT, INT2, INT4, UINT8, Draft, infos
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess

Contract = Literal["pixels", "float"]
Form = Literal["qdq", "exact"]
FORMS = {"qdq": ops.OPS, "exact": exact.OPS}
OPSET = 17
OPSETS: dict[int, int] = {onnx.TensorProto.INT4: 21, onnx.TensorProto.INT2: 25}
"""The opset of a model, and the first with weights of these types."""
IR_VERSION = {17: 8, 21: 10, 25: 13}
PIXELS, IMAGES, LOGITS = "pixels", "images", "logits"


def to_onnx(artifact: Artifact, takes: Contract = "pixels", form: Form = "qdq", int2: bool = False) -> ModelProto:
    """The model, checked by `onnx.checker`.

    Args:
        artifact: any but one that reads an image as bits.
        takes: `pixels`, uint8 [N, H, W, C] as the artifact's preprocessing makes them; `float`, what the float model takes,
            normalised float32 [N, C, H, W].
        form: `qdq`, or `exact`: the artifact's integers to the bit, but for norms and attention.
        int2: whether weights of 2 bits and ternary ones are stored as INT2, of opset 25, which ONNX Runtime 1.32 and OpenVINO
            2026.4 refuse; else as INT4.

    Raises:
        GraphError: ONNX has no form for something in it; says what.
    """
    if artifact.preprocess.encoder is not None:
        raise GraphError(
            f"the model reads its image as bits, by {artifact.preprocess.encoder}, which ONNX has no form for; "
            "quantize it with pixels as its input to export it"
        )
    model = exported(artifact.graph, artifact.preprocess if takes == "float" else None, form, int2)
    helper.set_model_props(model, _metadata(artifact, takes))
    onnx.checker.check_model(model, full_check=True)
    return model


def exported(graph: Graph, preprocess: Preprocess | None = None, form: Form = "qdq", int2: bool = False) -> ModelProto:
    """The model of an integer graph that reads pixels; or normalised images, where their preprocessing is given."""
    channels, height, width = graph.values[graph.input].shape
    d = Draft(graph, PIXELS if preprocess is None else IMAGES, INT2 if int2 else INT4)
    if preprocess is None:
        given = helper.make_tensor_value_info(PIXELS, UINT8, ["batch", height, width, channels])
        d.begin(PIXELS, d.emit("Transpose", [PIXELS], "planes", perm=[0, 3, 1, 2]))
    else:
        given = helper.make_tensor_value_info(IMAGES, FLOAT, ["batch", channels, height, width])
        d.begin(IMAGES, _pixels_of(d, preprocess))
    for node in graph.nodes:
        FORMS[form][node.op](d, node)
    names = {LOGITS: graph.output, **graph.others}
    outputs = [d.emit("Identity", [d.real(value)], name) for name, value in names.items()]
    values = [graph.values[value] for value in names.values()]
    made = helper.make_graph(d.nodes, "bitwright", [given], infos(outputs, values), d.initializers)
    opset = max([OPSETS.get(tensor.data_type, OPSET) for tensor in d.initializers], default=OPSET)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION[opset], producer_name="bitwright")


def _pixels_of(d: Draft, preprocess: Preprocess) -> str:
    """The pixels that normalised images were made of, uint8 [N, C, H, W]."""
    gain, offset = preprocess.affine()
    scale, shift = (numbers.astype(np.float32).reshape(-1, 1, 1) for numbers in (1 / gain, -offset / gain))
    scaled = d.emit("Mul", [IMAGES, d.constant(scale, "pixel_scale")], "scaled_images")
    shifted = d.emit("Add", [scaled, d.constant(shift, "pixel_shift")], "shifted_images")
    one, zero = d.constant(np.array(1, np.float32), "one"), d.constant(np.array(0, np.uint8), "zero")
    return d.emit("QuantizeLinear", [shifted, one, zero], "planes")


def _metadata(artifact: Artifact, takes: Contract) -> dict[str, str]:
    """Class names, preprocessing and provenance, as JSON."""
    found: dict[str, Any] = {"preprocess": artifact.preprocess.to_json(), "provenance": dict(artifact.provenance)}
    if artifact.classes is not None:
        found["classes"] = list(artifact.classes)
    return {"takes": takes, **{key: json.dumps(value, default=str) for key, value in found.items()}}
