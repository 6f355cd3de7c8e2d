"""Cases of every op, a file for each family. A new op fails the suite until it is in all of these tables.

`MAKERS` makes small nodes of every integer op, `SLOW` computes each op in plain loops written from docs/arithmetic.md, and
`FLOAT_MAKERS` makes float nodes of every float op with their real function.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.conformance.ops.case import Case
from tests.conformance.ops.elementwise import (
    add_cases,
    batch_norm_cases,
    dequantize_cases,
    float_batch_norm,
    float_dequantize,
    float_elementwise,
    mul_cases,
    slow_add,
    slow_batch_norm,
    slow_dequantize,
    slow_mul,
)
from tests.conformance.ops.float_case import FloatCase
from tests.conformance.ops.moves import (
    concat_cases,
    constant_cases,
    float_constant,
    float_moved,
    pad_cases,
    permute_cases,
    reshape_cases,
    slice_cases,
    slow_concat,
    slow_constant,
    slow_pad,
    slow_permute,
    slow_reshape,
    slow_slice,
)
from tests.conformance.ops.pools import (
    avg_pool2d_cases,
    float_avg_pool2d,
    float_global_avg_pool2d,
    float_max_pool2d,
    global_avg_pool2d_cases,
    max_pool2d_cases,
    slow_avg_pool2d,
    slow_global_avg_pool2d,
    slow_max_pool2d,
)
from tests.conformance.ops.tables import (
    clamp_real,
    float_function,
    float_prelu,
    float_unary,
    prelu_cases,
    slow_prelu,
    slow_table,
    table_cases,
)
from tests.conformance.ops.weighted import (
    conv2d_cases,
    float_conv2d,
    float_linear,
    linear_cases,
    slow_conv2d,
    slow_linear,
)

MAKERS: dict[str, Callable[[np.random.Generator], Iterator[tuple[str, Case]]]] = {
    "conv2d": conv2d_cases,
    "linear": linear_cases,
    "batch_norm": batch_norm_cases,
    "add": add_cases,
    "mul": mul_cases,
    "max_pool2d": max_pool2d_cases,
    "avg_pool2d": avg_pool2d_cases,
    "global_avg_pool2d": global_avg_pool2d_cases,
    "constant": constant_cases,
    "concat": concat_cases,
    "slice": slice_cases,
    "pad": pad_cases,
    "reshape": reshape_cases,
    "permute": permute_cases,
    "table": table_cases,
    "prelu": prelu_cases,
    "dequantize": dequantize_cases,
}


CASES = {f"{op}-{label}": c for op, make in MAKERS.items() for label, c in make(np.random.default_rng(7))}


FIRST = {op: next(make(np.random.default_rng(7)))[1] for op, make in MAKERS.items()}


every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


every_op = pytest.mark.parametrize("case", FIRST.values(), ids=FIRST)


SLOW: dict[str, Callable[[Case, Any], Any]] = {
    "conv2d": slow_conv2d,
    "linear": slow_linear,
    "batch_norm": slow_batch_norm,
    "add": slow_add,
    "mul": slow_mul,
    "max_pool2d": slow_max_pool2d,
    "avg_pool2d": slow_avg_pool2d,
    "global_avg_pool2d": slow_global_avg_pool2d,
    "constant": slow_constant,
    "concat": slow_concat,
    "slice": slow_slice,
    "pad": slow_pad,
    "reshape": slow_reshape,
    "permute": slow_permute,
    "table": slow_table,
    "prelu": slow_prelu,
    "dequantize": slow_dequantize,
}


FLOAT_MAKERS: dict[str, Callable[[np.random.Generator], Iterator[tuple[str, FloatCase]]]] = {
    "conv2d": float_conv2d,
    "linear": float_linear,
    "batch_norm": float_batch_norm,
    "add": float_elementwise("add", lambda p, q: p + q),
    "mul": float_elementwise("mul", lambda p, q: p * q),
    "max_pool2d": float_max_pool2d,
    "avg_pool2d": float_avg_pool2d,
    "global_avg_pool2d": float_global_avg_pool2d,
    "constant": float_constant,
    "concat": float_moved("concat", {"axis": 0}, [(3, 2, 2), (1, 2, 2)], (4, 2, 2), lambda p, q: np.hstack([p, q])),
    "slice": float_moved(
        "slice", {"axis": 1, "start": 1, "stop": 5, "step": 2}, [(2, 6)], (2, 2), lambda v: v[:, :, 1:5:2]
    ),
    "pad": float_moved("pad", {"padding": ((1, 2),)}, [(4,)], (7,), lambda v: np.pad(v, ((0, 0), (1, 2)))),
    "reshape": float_moved("reshape", {"shape": (12,)}, [(3, 2, 2)], (12,), lambda v: v.reshape(len(v), 12)),
    "permute": float_moved("permute", {"dims": (2, 0, 1)}, [(3, 2, 4)], (4, 3, 2), lambda v: np.moveaxis(v, 3, 1)),
    "clamp": float_unary("clamp", clamp_real, ({"clamp": (0, None)}, {"clamp": (0, 6)}, {"clamp": (None, 1.5)})),
    "function": float_function,
    "quantize": float_unary("quantize", lambda v: v),
    "dequantize": float_dequantize,
    "prelu": float_prelu,
}


FLOAT_CASES = {f"{op}-{label}": c for op, make in FLOAT_MAKERS.items() for label, c in make(np.random.default_rng(3))}


every_float_case = pytest.mark.parametrize("case", FLOAT_CASES.values(), ids=FLOAT_CASES)
