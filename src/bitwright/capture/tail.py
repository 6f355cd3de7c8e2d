"""The end of a classifier that changes no class: a softmax, or a sigmoid of one logit. Logits are what is quantized.

Whoever wants probabilities computes them from the logits, in float, as `classify` does.
"""

from collections import Counter
from collections.abc import Iterable

import torch

Fx = torch.fx.Node
SOFTMAX = ("softmax", "_softmax", "log_softmax", "_log_softmax")
SIGMOID = ("sigmoid", "special_expit", "log_sigmoid")
LOGARITHMS = ("log_sigmoid", "log")
"""These at the end are no probabilities, but their logarithms."""
PASSED = (
    "log",
    "view",
    "_unsafe_view",
    "reshape",
    "flatten",
    "squeeze",
    "unsqueeze",
    "clone",
    "alias",
    "detach",
    "contiguous",
)
"""What may stand between the softmax and the output."""


def find_tail(output: Fx, live: Iterable[Fx]) -> list[Fx]:
    """The functions at the end that are left out, the last one first; none where the output is logits already."""
    readers = Counter(read for node in live for read in node.all_input_nodes)
    node, logs = output, list[Fx]()
    while node.op == "call_function" and readers[node] <= 1:
        name = op_name(node)
        if (name in SOFTMAX and _over_classes(node)) or (name in SIGMOID and _classes(node) == 1):
            return [*logs, node]
        if name not in PASSED:
            break
        logs += [node] if name == "log" else []
        node = node.all_input_nodes[0]
    return []


def find_squeeze(output: Fx, tail: Iterable[Fx]) -> list[Fx]:
    """The ops at the end that take the axis of one logit away, [N, 1] to [N]; none where something else is in between."""
    node, found, passed = output, list[Fx](), set(tail)
    while node.op == "call_function" and node.meta["val"].dim() == 1:
        if op_name(node) in (*PASSED, "select"):
            found.append(node)
        elif node not in passed:
            return []
        node = node.all_input_nodes[0]
    return found if node.op == "call_function" and node.meta["val"].dim() == 2 and _classes(node) == 1 else []


def op_name(node: Fx) -> str:
    """The ATen name of the op that an fx node calls, without its overload."""
    return str(node.target).removeprefix("aten.").split(".")[0]


def _classes(node: Fx) -> int:
    count = 1
    for size in node.meta["val"].shape[1:]:
        count *= int(size)
    return count


def _over_classes(node: Fx) -> bool:
    """True for a softmax over the one axis, apart from the batch, that is not 1 long."""
    shape = node.meta["val"].shape
    axis = int(str(node.args[1])) % len(shape)
    return axis != 0 and _classes(node) == int(shape[axis])
