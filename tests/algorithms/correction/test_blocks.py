"""Where a network is cut: between residual blocks, in front of layers with weights."""

from collections.abc import Sequence

from bitwright.algorithms.correction.blocks import blocks
from bitwright.graph import Graph, Node, Value


def graph(*nodes: tuple[str, str, Sequence[str]]) -> Graph:
    values = {name: Value((1,)) for name in ("input", *(name for name, _, _ in nodes))}
    return Graph(tuple(Node(name, op, tuple(inputs)) for name, op, inputs in nodes), values, nodes[-1][0])


def names(found: list[list[Node]]) -> list[str]:
    return [" ".join(node.name for node in block) for block in found]


def test_residual_blocks_stay_whole_and_pools_go_with_what_reads_them() -> None:
    network = graph(
        ("stem", "conv2d", ["input"]),
        ("pool", "max_pool2d", ["stem"]),
        ("a", "conv2d", ["pool"]),
        ("b", "conv2d", ["a", "pool"]),
        ("c", "conv2d", ["b"]),
        ("down", "conv2d", ["b"]),
        ("d", "conv2d", ["c", "down"]),
        ("mean", "global_avg_pool2d", ["d"]),
        ("flat", "reshape", ["mean"]),
    )
    assert names(blocks(network)) == ["stem", "pool a b", "c down d mean flat"]


def test_a_network_without_weights_is_one_block() -> None:
    assert names(blocks(graph(("a", "clamp", ["input"]), ("b", "clamp", ["a"])))) == ["a b"]
