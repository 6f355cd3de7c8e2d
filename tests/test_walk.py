"""The one loop over a graph: order, what is dropped when, what is kept."""

import ast
from pathlib import Path

import bitwright
from bitwright.graph import Graph, Node, Value
from bitwright.walk import compute, compute_all, steps, walk

NODES = (
    Node("a", "add", ("left", "right")),
    Node("b", "add", ("a", "a")),
    Node("c", "add", ("b", "left")),
    Node("d", "add", ("c", "b")),
)
GRAPH = Graph(
    NODES, {n: Value((1,)) for n in ("left", "right", "a", "b", "c", "d")}, "d", {"early": "b"}, ("left", "right")
)


def run(node: Node, inputs: list[int]) -> int:
    return sum(inputs)


def test_values_are_dropped_after_their_last_use_and_outputs_are_kept() -> None:
    assert {node.name: list(done) for node, done in steps(GRAPH)} == {
        "a": ["right"],
        "b": ["a"],
        "c": ["left"],
        "d": ["c"],
    }
    values = {"left": 1, "right": 2}
    assert compute(GRAPH, values, run) == 13
    assert values == {"b": 6, "d": 13}


def test_a_node_comes_with_its_inputs_which_are_there_until_the_next_one_is_asked_for() -> None:
    values = {"left": 1, "right": 2}
    seen = []
    for node, inputs, result in walk(steps(GRAPH), values, run):
        assert all(name in values for name in node.inputs)
        seen.append((node.name, inputs, result))
    assert seen == [("a", [1, 2], 3), ("b", [3, 3], 6), ("c", [6, 1], 7), ("d", [7, 6], 13)]


def test_a_part_of_a_graph_keeps_all_its_values() -> None:
    assert compute_all(NODES[1:3], {"a": 3, "left": 1}, run) == {"a": 3, "left": 1, "b": 6, "c": 7}


def test_an_order_that_was_worked_out_before() -> None:
    order = list(steps(GRAPH))
    assert [compute(GRAPH, {"left": x, "right": 0}, run, order) for x in (1, 2)] == [5, 10]


def computes(loop: ast.For) -> bool:
    """Whether a loop writes `values[node.name]`, what it computes from `values[name] for name in node.inputs`."""
    written = {
        ast.unparse(target.value)
        for each in ast.walk(loop)
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Subscript) and ast.unparse(target.slice) == "node.name"
    }
    read = {
        ast.unparse(each.elt.value)
        for each in ast.walk(loop)
        if isinstance(each, ast.ListComp) and isinstance(each.elt, ast.Subscript)
        if ast.unparse(each.generators[0].iter) == "node.inputs"
    }
    return bool(written & read)


def test_no_other_loop_computes_a_graph() -> None:
    sources = Path(bitwright.__file__).parent
    found = [
        path.relative_to(sources).as_posix()
        for path in sorted(sources.rglob("*.py"))
        if any(isinstance(loop, ast.For) and computes(loop) for loop in ast.walk(ast.parse(path.read_text("utf-8"))))
    ]
    assert found == ["walk.py"]
