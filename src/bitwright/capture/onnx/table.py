"""The table from ONNX's ops to functions of PyTorch: what ATen's table knows, in ONNX's words."""

from typing import Any

import onnx
import torch
from torch.nn import functional as F

from bitwright.capture.onnx import gathers, layers, moves, resizing
from bitwright.capture.onnx.call import Function
from bitwright.capture.onnx.code_graph import GIVEN, LOOKUP
from bitwright.capture.onnx.codes import given, lookup
from bitwright.capture.onnx.idioms import ATTENTION, CONV, LINEAR
from bitwright.capture.onnx.indexed import ADAPTIVE_POOL, PLACES
from bitwright.capture.onnx.norms import NORM
from bitwright.capture.onnx.pointwise import FUNCTIONS, dropout
from bitwright.capture.onnx.reductions import REDUCTIONS
from bitwright.capture.onnx.sizes import shape
from bitwright.errors import PluginError
from bitwright.registry import Registry

OURS: dict[str, Function] = {
    **FUNCTIONS,
    **REDUCTIONS,
    "Attention": layers.attention,
    ATTENTION: layers.found_attention,
    CONV: layers.conv,
    LINEAR: layers.found_linear,
    NORM: layers.found_norm,
    ADAPTIVE_POOL: gathers.found_pool,
    PLACES: gathers.found_places,
    GIVEN: given,
    LOOKUP: lookup,
    "AveragePool": layers.avg_pool,
    "BatchNormalization": layers.batch_norm,
    "Col2Im": gathers.col2im,
    "Concat": moves.concat,
    "Conv": layers.conv,
    "ConvTranspose": resizing.conv_transpose,
    "DepthToSpace": moves.depth_to_space,
    "Dropout": dropout,
    "Expand": moves.expand,
    "Flatten": moves.flatten,
    "Gather": moves.gather,
    "GatherND": gathers.gather_nd,
    "Gemm": layers.gemm,
    "GroupNormalization": layers.group_norm,
    "InstanceNormalization": layers.instance_norm,
    "LayerNormalization": layers.layer_norm,
    "LpPool": layers.lp_pool,
    "LogSoftmax": layers.softmax(torch.log_softmax),
    "MatMul": layers.matmul,
    "MaxPool": layers.max_pool,
    "Pad": moves.pad,
    "Reshape": moves.reshape,
    "Resize": resizing.resize,
    "ScatterElements": gathers.scatter_elements,
    "ScatterND": gathers.scatter_nd,
    "SequenceAt": moves.sequence_at,
    "Shape": shape,
    "Slice": moves.slice_,
    "Softmax": layers.softmax(F.softmax),
    "SpaceToDepth": moves.space_to_depth,
    "Split": moves.split,
    "SplitToSequence": moves.split_to_sequence,
    "Squeeze": moves.squeeze,
    "Tile": moves.tile,
    "Transpose": moves.transpose,
    "Unsqueeze": moves.unsqueeze,
}


def _check(name: str, thing: Any) -> Function:
    """A function from outside, for an op of ONNX that has none here, or for one of another domain."""
    if not callable(thing):
        raise PluginError(f"the onnx_op {name!r}: expected a function of a Call, found {thing!r:.100}")
    if "." not in name and not onnx.defs.has(name):
        raise PluginError(
            f"the onnx_op {name!r}: ONNX {onnx.__version__} has no such op; call one of another domain DOMAIN.OP"
        )
    return thing  # type: ignore[no-any-return]


OPS: Registry[Function] = Registry("onnx_op", OURS, _check)
"""The table: by op, with its domain in front where that is not ONNX's own, as in `com.acme.Saturate`."""
