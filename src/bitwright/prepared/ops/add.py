"""`add` in PyTorch; `bitwright/ops/add.py` defines it."""

from torch import Tensor

from bitwright.prepared.ops.epilogue import clamp
from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp


def float_function(call: FloatCall) -> Tensor:
    return clamp(call.xs[0] + call.xs[1], call.attrs)


def integer_function(call: IntegerCall) -> Tensor:
    return call.store_with_zero_point(call.centred(0) * call.tensors["m_a"] + call.centred(1) * call.tensors["m_b"])


OP = TorchOp("add", float_function, integer_function)
