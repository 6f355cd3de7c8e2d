"""ONNX's own backend tests of single nodes, for every op that is mapped: `python -m bench.onnx_nodes`.

Each is computed by the table's function (`by_table`), and by a file of that node alone that is opened, captured and run as a
float graph (`by_capture`), where its first operand can be an image and the others belong to the model. A node is right, wrong,
refused by an error of ours, or out of scope: of other types than float32, or not of one node.
"""

import argparse
import importlib
import pkgutil
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import torch
from onnx import helper, numpy_helper

from bitwright.capture import capture
from bitwright.capture.onnx import open_onnx
from bitwright.capture.onnx.call import Call, Operand, Unread
from bitwright.capture.onnx.table import OURS
from bitwright.errors import BitwrightError
from bitwright.prepared.float_graph import FloatGraph

RTOL, ATOL = 1e-3, 1e-5
"""Of ONNX's own runner: 1e-3 of each number, and 1e-5 for small ones."""
RIGHT, WRONG, TYPES, PLACES = "right", "WRONG", "out of scope: other types", "out of scope: no image in front"
Outcome = tuple[str, str]
"""What became of a case, and why it was refused."""


def cases() -> Iterator[Any]:
    """The test cases of one node of a mapped op, in the order of their names."""
    import onnx.backend.test.case.node as tests

    mapped = {op.lower() for op in OURS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.iter_modules(tests.__path__):
            if module.name.replace("_", "") in mapped:
                importlib.import_module(f"{tests.__name__}.{module.name}")
    found = {case.name: case for case in tests._NodeTestCases if _is_one_node(case)}
    yield from (found[name] for name in sorted(found))


def _is_one_node(case: Any) -> bool:
    nodes = case.model.graph.node
    return len(nodes) == 1 and nodes[0].op_type in OURS and nodes[0].domain in ("", "ai.onnx")


def _given(case: Any) -> list[Any]:
    """The operands of its node."""
    names = [value.name for value in case.model.graph.input]
    arrays = dict(zip(names, case.data_sets[0][0], strict=True))
    return [arrays.get(name) for name in case.model.graph.node[0].input]


def _in_scope(operands: list[Any]) -> bool:
    first = operands[0] if operands else None
    arrays = all(operand is None or isinstance(operand, np.ndarray) for operand in operands)
    return arrays and first is not None and first.dtype == np.float32


def _opset(case: Any) -> int:
    return next(int(opset.version) for opset in case.model.opset_import if opset.domain in ("", "ai.onnx"))


def by_table(case: Any) -> Outcome:
    """What the table's function makes of the operands."""
    operands = _given(case)
    if not _in_scope(operands):
        return TYPES, ""
    node = ir.from_proto(case.model).graph[0]
    call = Call(node, tuple(_operand(i, x) for i, x in enumerate(operands)), _opset(case))
    try:
        found = OURS[node.op_type](call)
    except Unread as error:
        return "refused", str(error)
    except (RuntimeError, ValueError, IndexError, AttributeError) as error:  # the network says which node it was
        return "refused", f"{type(error).__name__}: {error}"
    results = list(found) if isinstance(found, tuple | list) else [found]
    expected = case.data_sets[0][1]
    expected = expected[0] if isinstance(expected[0], list) else expected[: len(results)]  # a sequence of tensors
    right = all(_close(np.asarray(a), b) for a, b in zip(results, expected, strict=True))
    return (RIGHT if right else WRONG), ""


def _operand(index: int, x: Any) -> Operand:
    """As the network has it: numbers of shapes, and single numbers, are arrays."""
    if x is None or (index and (x.dtype.kind != "f" or x.size == 1)):
        return x  # type: ignore[no-any-return]
    return torch.from_numpy(np.array(x))


def _close(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    same = found.shape == expected.shape
    return same and np.allclose(found.astype(float), expected.astype(float), RTOL, ATOL, equal_nan=True)


def by_capture(case: Any, folder: Path) -> Outcome:
    """What becomes of it as a file, whose image is the first operand laid flat."""
    operands, (expected, *_) = _given(case), case.data_sets[0][1]
    if not _in_scope(operands):
        return TYPES, ""
    x = operands[0] if operands[0].ndim > 1 else operands[0][None]
    if (
        not isinstance(expected, np.ndarray)
        or not x.size
        or expected.size % len(x)
        or len(x) != len(np.atleast_1d(expected))
    ):
        return PLACES, ""
    path = folder / "node.onnx"
    path.write_bytes(_as_file(case, operands, x.shape, expected.size // len(x)).SerializeToString())
    image = (1, 1, x[0].size)
    try:
        network = open_onnx(str(path)).network
        graph = capture(network, image)
    except BitwrightError as error:
        return "refused", str(error).splitlines()[0]
    found = FloatGraph(graph)(torch.from_numpy(x.reshape(len(x), *image))).numpy()
    return (RIGHT if _close(found / 2, expected.reshape(len(x), -1)) else WRONG), ""


def _as_file(case: Any, operands: list[Any], shape: tuple[int, ...], outputs: int) -> onnx.ModelProto:
    """Reshape, the node, Flatten, Mul; the other operands are initializers."""
    node = onnx.NodeProto.FromString(case.model.graph.node[0].SerializeToString())
    name = node.input[0]
    tensors = {key: array for key, array in zip(node.input, operands, strict=True) if key != name and array is not None}
    tensors |= {"given_shape": np.array([-1, *shape[1:]]), "twice": np.array(2, np.float32)}
    nodes = [
        helper.make_node("Reshape", ["image", "given_shape"], [name]),
        node,
        helper.make_node("Flatten", [node.output[0]], ["flat"], axis=1),
        helper.make_node("Mul", ["flat", "twice"], ["logits"]),  # a softmax at the end would be left out
    ]
    numbers = int(np.prod(shape[1:]))
    graph = helper.make_graph(
        nodes,
        "node",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", 1, 1, numbers])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", outputs])],
        [numpy_helper.from_array(np.asarray(array), key) for key, array in tensors.items()],
    )
    opset = max(11, _opset(case))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=case.model.ir_version)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reasons", action="store_true", help="Print why each case was refused.")
    reasons = parser.parse_args().reasons
    table, through = Counter[str](), Counter[str]()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases():
            for kind, counts, (outcome, why) in (
                ("table", table, by_table(case)),
                ("capture", through, by_capture(case, Path(folder))),
            ):
                counts[outcome] += 1
                if outcome == WRONG or (reasons and why):
                    print(f"{case.name}, {kind}: {outcome} {why:.200}", flush=True)
    print(f"{sum(table.values())} cases; by the table {dict(table)}; through capture {dict(through)}")


if __name__ == "__main__":
    main()
