"""The engine's table of ops: an op has a row there, or a graph that holds it is refused; nothing is skipped."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import _native
from bitwright.engine.native import _description
from bitwright.engine.reference import Reference
from tests.kernels.random_graph import RandomGraph

CSRC = Path(__file__).parents[2] / "csrc"


def described(op: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[int], list[int]]:
    """A graph of a convolution and a batch norm, which is called `op`."""
    graph = RandomGraph((3, 5, 7))
    graph.dequantize(graph.batch_norm(graph.conv2d("input", 8, 3)))
    values, nodes, inputs, outputs = _description(graph.build())
    nodes[1] = (nodes[1][0], op, *nodes[1][2:])
    return values, nodes, inputs, outputs


def rows() -> list[str]:
    """The names in the table of csrc/ops/ops.cc, but `pack`, which planning makes and no graph may hold."""
    found = re.findall(r"\bOP\((\w+)\)", (CSRC / "ops" / "ops.cc").read_text())
    assert "pack" in found
    return sorted(set(found) - {"pack"})


@pytest.mark.parametrize("op", [*rows(), "pack"])
def test_a_row_lies_in_the_file_of_its_op(op: str) -> None:
    defined = re.findall(r"extern const Op (\w+)_op = ", (CSRC / "ops" / f"{op}.cc").read_text())
    assert defined == [op]


def test_a_row_is_found_by_its_name() -> None:
    _native.Plan(*described("batch_norm"), 1)


@pytest.mark.parametrize("op", ["batch_norm2", "batch", "", "pack"])
def test_an_op_without_a_row_is_refused(op: str) -> None:
    name = described(op)[1][1][0]
    with pytest.raises(ValueError, match=re.escape(f"node '{name}' ({op}): unknown op")):
        _native.Plan(*described(op), 1)
    with pytest.raises(ValueError, match="unknown op"):
        _native.chosen_kernels(*described(op), [])


@pytest.mark.parametrize("op", rows())
def test_every_row_checks_its_nodes(op: str) -> None:
    """No row takes a node of another op that has none of its attributes and tensors: something asks for them."""
    values, nodes, inputs, outputs = described(op)
    nodes[1] = (*nodes[1][:2], [], *nodes[1][3:4], {}, {})
    with pytest.raises(ValueError, match=re.escape(f"({op}): ") + "(?!unknown op)"):
        _native.Plan(values, nodes, inputs, outputs, 1)


def other_sources() -> Iterator[Path]:
    """What plans and runs; `fuzz` makes graphs, whose nodes have to be called something."""
    for path in sorted(CSRC.rglob("*")):
        if path.suffix in {".cc", ".h"} and path.relative_to(CSRC).parts[0] not in {
            "ops",
            "kernels",
            "training",
            "fuzz",
        }:
            yield path


@pytest.mark.parametrize("path", tuple(other_sources()), ids=lambda path: path.relative_to(CSRC).as_posix())
def test_no_op_is_named_outside_its_room(path: Path) -> None:
    """What planning and the runtime ask of an op is a trait. (Planning names the one op that it makes, `pack`.)"""
    strings = set(re.findall(r'"(\w+)"', path.read_text()))
    assert not strings & (set(rows()) - ({"table"} if path.parent.name == "planning" else set())), (
        "expected a trait of csrc/ops/op.h in place of an op's name"
    )
    assert not re.search(r"\bop\s*[!=]=", path.read_text())


def test_every_op_has_its_fields_in_files() -> None:
    """In the table of csrc/ops/stored.cc, from which the library reads artifacts; prelu is one that runs as a table."""
    found = re.findall(r'^    \{"(\w+)", \{', (CSRC / "ops" / "stored.cc").read_text(), re.MULTILINE)
    assert sorted(found) == sorted({*rows(), "prelu"})


@pytest.mark.parametrize("keep_values", [False, True])
def test_the_image_may_have_any_number(keep_values: bool) -> None:
    """The graph says which of its values it is."""
    graph = RandomGraph((3, 5, 7))
    x = graph.conv2d("input", 8, 3)
    graph.dequantize(graph.add(x, graph.moved("permute", x, dims=(0, 1, 2))))
    built, images = graph.build(), graph.images(2)
    values, nodes, inputs, outputs = _description(built)
    last = len(values) - 1
    turned = [(*node[:2], [last - i for i in node[2]], last - node[3], *node[4:]) for node in nodes]
    plan = _native.Plan(values[::-1], turned, [last - i for i in inputs], [last - i for i in outputs], 1, keep_values)
    assert np.asarray(plan.run(images)).tobytes() == Reference(built).run(images).tobytes()


@pytest.mark.parametrize("inputs", [[], [0, 1], [7], [-1]])
def test_other_inputs_than_one_image_are_refused(inputs: list[int]) -> None:
    values, nodes, _, outputs = described("batch_norm")
    with pytest.raises(ValueError, match="expected one input, the image"):
        _native.Plan(values, nodes, inputs, outputs, 1)
