"""The tables of ops. A newcomer is one file here and one line below (and its PyTorch side in `prepared/`); a
function of one number is one line in `functions.py`."""

from bitwright.ops.add import Add
from bitwright.ops.avg_pool2d import AvgPool2d
from bitwright.ops.batch_norm import BatchNorm
from bitwright.ops.clamp import Clamp
from bitwright.ops.concat import Concat
from bitwright.ops.constant import Constant
from bitwright.ops.conv2d import Conv2d
from bitwright.ops.dequantize import Dequantize
from bitwright.ops.function import Function
from bitwright.ops.global_avg_pool2d import GlobalAvgPool2d
from bitwright.ops.linear import Linear
from bitwright.ops.max_pool2d import MaxPool2d
from bitwright.ops.mul import Mul
from bitwright.ops.op import FloatOp, IntegerOp, Op
from bitwright.ops.pad import Pad
from bitwright.ops.permute import Permute
from bitwright.ops.prelu import Prelu
from bitwright.ops.quantize import Quantize
from bitwright.ops.reshape import Reshape
from bitwright.ops.slice import Slice
from bitwright.ops.table import Table

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Constant(),
        Conv2d(),
        Linear(),
        BatchNorm(),
        Add(),
        Mul(),
        MaxPool2d(),
        AvgPool2d(),
        GlobalAvgPool2d(),
        Concat(),
        Slice(),
        Pad(),
        Reshape(),
        Permute(),
        Clamp(),
        Function(),
        Prelu(),
        Quantize(),
        Table(),
        Dequantize(),
    )
}
FLOAT_OPS: dict[str, FloatOp] = {name: op for name, op in OPS.items() if isinstance(op, FloatOp)}
INTEGER_OPS: dict[str, IntegerOp] = {name: op for name, op in OPS.items() if isinstance(op, IntegerOp)}

__all__ = ["FLOAT_OPS", "INTEGER_OPS", "OPS", "FloatOp", "IntegerOp", "Op"]
