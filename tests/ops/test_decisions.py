"""Nothing outside the ops and the frontends asks for an op by its name or its class: traits and roles say what matters."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import bitwright
from bitwright.ops import OPS

SOURCES = Path(bitwright.__file__).parent
ROOMS = ("ops/", "prepared/ops/", "capture/aten/", "capture/onnx/", "export/")
"""Where an op may be called by its name: its own places, and what turns it into the ops of another language or back."""
ALLOWED = {
    "capture/channel_order.py": 1,  # finds the slices that it wrote itself: no trait says which positions a node reads
}
TABLES = {"OPS", "FLOAT_OPS", "INTEGER_OPS", "TORCH_OPS"}
"""What has a row for every op: to look in there is no decision about one."""
CLASSES = {type(op).__name__ for op in OPS.values()}


def decisions(source: str) -> Iterator[int]:
    """The lines on which code decides by the name or the class of an op."""
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    imported = {alias.name for node in imports if str(node.module).startswith("bitwright.ops") for alias in node.names}
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=[right]):
                sides = (left, right), (right, left)
                if any(is_op(op) and names_an_op(name) for op, name in sides) or is_op_in_list(left, right):
                    yield node.lineno
                if is_count_of_inputs(left):
                    yield node.lineno
            case ast.MatchValue(value=value) if names_an_op(value):
                yield node.lineno
            case ast.Subscript(value=ast.Dict(keys=keys)) if any(key is not None and names_an_op(key) for key in keys):
                yield node.lineno
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kind]):
                if any(isinstance(part, ast.Name) and part.id in CLASSES & imported for part in ast.walk(kind)):
                    yield node.lineno
            case ast.Subscript(value=ast.Attribute(attr="inputs", value=owner), slice=ast.Constant() | ast.Slice()) if (
                not is_graph(owner)
            ):
                yield node.lineno  # by position: its role says what an operand is for


def names_an_op(side: ast.expr) -> bool:
    """True for the name of an op, and for a list with one in it; for `Conv2d.name` too."""
    if isinstance(side, ast.Tuple | ast.List | ast.Set):
        return any(map(names_an_op, side.elts))
    if isinstance(side, ast.Attribute) and side.attr == "name" and isinstance(side.value, ast.Name):
        return side.value.id in CLASSES
    return isinstance(side, ast.Constant) and side.value in OPS


def is_op(side: ast.expr) -> bool:
    match side:
        case ast.Attribute(attr="op" | "name") | ast.Name(id="op" | "name" | "kind"):
            return True
    return False


def is_count_of_inputs(side: ast.expr) -> bool:
    match side:
        case ast.Call(func=ast.Name(id="len"), args=[ast.Attribute(attr="inputs", value=owner)]):
            return not is_graph(owner)
    return False


def is_graph(side: ast.expr) -> bool:
    """True for what has the inputs of a graph, which are no operands."""
    return isinstance(side, ast.Name) and side.id in ("graph", "self")


def is_op_in_list(left: ast.expr, right: ast.expr) -> bool:
    """True for `node.op in WITH_WEIGHT`: in a list that is defined elsewhere, and is none of the tables."""
    if not isinstance(left, ast.Attribute) or left.attr != "op":
        return False
    return isinstance(right, ast.Name) and right.id.isupper() and right.id not in TABLES


def test_no_decision_by_name_is_left_but_these():
    found: Counter[str] = Counter()
    lines = []
    for path in sorted(SOURCES.rglob("*.py")):
        name = path.relative_to(SOURCES).as_posix()
        if not name.startswith(ROOMS):
            for line in decisions(path.read_text()):
                found[name] += 1
                lines.append(f"{name}:{line}")
    assert dict(found) == ALLOWED, f"expected traits of bitwright/ops/op.py in place of names, found {lines}"
    assert found.total() <= 5


@pytest.mark.parametrize(
    "source",
    [
        "node.op == 'conv2d'",
        "node.op in ('add', other)",
        "node.op in WITH_WEIGHT",
        "op != 'linear'",
        "node.op == Conv2d.name",
        "from bitwright.ops.prelu import Prelu\nisinstance(op, Prelu)",
        "from bitwright.ops.table import Table\nisinstance(op, (Foo, Table))",
        "{'conv2d': 1}[node.op]",
        "match node.op:\n case 'pad': ...",
        "node.inputs[0]",
        "reader.inputs[1:]",
        "len(node.inputs) == 2",
        "'add' != kind",
    ],
)
def test_a_decision_is_seen(source):
    assert list(decisions(source))


@pytest.mark.parametrize(
    "source",
    [
        "node.op in INTEGER_OPS",
        "Node(name, 'conv2d', (x,))",
        "first.op == second.op",
        "'clamp' in first.attrs",
        "from bitwright.capture.draft import Constant\nisinstance(operand, Constant)",
        "node.op == 'call_function'",
        "len(graph.inputs) == 1",
    ],
)
def test_what_is_no_decision_is_left_alone(source):
    assert not list(decisions(source))
