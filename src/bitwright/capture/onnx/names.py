"""The names that a graph's nodes had as modules, as far as its exporter tells."""

import ast
import re

import onnx_ir as ir

SCOPES = "pkg.torch.onnx.name_scopes"
WEIGHTED = (
    "Conv",
    "_Conv",
    "Gemm",
    "MatMul",
    "_Linear",
    "BatchNormalization",
    "LayerNormalization",
    "_LayerNorm",
    "PRelu",
)


def path_of(node: ir.Node) -> str:
    """Where a node was in the model: by its weight's name, by the scopes that torch.onnx writes, else by its own name."""
    weight = node.inputs[1].name if node.op_type in WEIGHTED and len(node.inputs) > 1 and node.inputs[1] else None
    if weight is not None and "." in weight and node.inputs[1].const_value is not None:  # type: ignore[union-attr]
        return weight.rpartition(".")[0]
    found = _of_scopes(node) or _of_slashes(node)
    if (
        not found
        and weight is not None
        and (match := re.fullmatch(r"([A-Za-z]\w*?)[._](weights?|kernel|w_0|W)", weight))
    ):
        return match[1]
    return found or _plain(node.name or node.outputs[0].name or node.op_type)


def _of_scopes(node: ir.Node) -> str:
    """From the list of scopes of torch.onnx's newer exporter: the last one is the op's own."""
    try:
        scopes = ast.literal_eval(node.metadata_props.get(SCOPES, "[]"))
        *above, own = [str(scope) for scope in scopes]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ""
    return f"{above[-1]}.{_plain(own)}" if above and above[-1] else _plain(own)


def _of_slashes(node: ir.Node) -> str:
    """From /layer1/layer1.0/conv1/Conv, as the older exporter of torch.onnx writes it."""
    name = node.name or ""
    if not name.startswith("/"):
        return ""
    path = ""
    for part in name.strip("/").split("/"):
        path = _joined(path, part)
    return path


def _joined(path: str, part: str) -> str:
    """A scope behind those above it; one of a list repeats the list's name."""
    above, _, last = path.rpartition(".")
    if part.startswith(f"{last}.") and last:
        return f"{above}.{part}".lstrip(".")
    return f"{path}.{part}".lstrip(".")


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "part"
