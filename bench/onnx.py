"""Networks of docs/coverage.md, written by both exporters of torch.onnx and read back: `python -m bench.onnx`.

Of each network that the page says is captured, smallest of each family first, in a process of its own: whether the graph after
fusion has the same ops on the same inputs as the one that torch.export's capture gives, and whether the integer model of the
same calibration (w8a8 without corrections) gives the same logits, to the byte, on other images. A graph that is the same in
every attribute and every number has the same integers, and is not run where it is large. What was found is kept in the file
`--kept`, so that an interrupted run goes on where it stood; `--only` and `--differing` measure anew. Prints what differs,
and how many are the same.
"""

import argparse
import json
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import bitwright as bw
from bench.coverage import LIBRARIES, PAGE
from bench.coverage_of_one import CALIBRATED, TESTED, in_a_process
from bench.defaults import settle
from bench.families import Case, cases, made, randomize
from bench.floats import IMAGENET, smooth_images
from bitwright.capture import Captured, fuse
from bitwright.capture.onnx import open_onnx  # noqa: F401 - once, and not in every process
from bitwright.capture.quiet import quiet
from bitwright.engine import Engine
from bitwright.files import write_atomically
from bitwright.graph import Graph, Node
from bitwright.models import load_model
from bitwright.models.float_models import float_model
from bitwright.recipe import Recipe

EXPORTERS = ("dynamo", "older")
FEW = 40
"""Up to how many nodes a network is quantized and run whatever its graph is."""
LEARNED = ("constant", "learns")
"""Attributes that only matter in training."""
ROW = re.compile(r"^\| [^|]+ \| (\w+) \| \d+ \| (\d+) \|[^|]*\|[^|]*\| (captured|engine = reference) \|$", re.MULTILINE)


def networks() -> Iterator[Case]:
    """What the page says is captured: the smallest of each family, then the others, each by how many nodes they have."""
    nodes = {name: int(count) for name, count, _ in ROW.findall(PAGE.read_text("utf-8"))}
    found = [case for library in LIBRARIES for case in cases(library) if case.name in nodes]
    yield from sorted(found, key=lambda case: (not case.in_full, nodes[case.name]))


def export(model: nn.Module, shape: tuple[int, int, int], path: Path, exporter: str, opset: int = 18) -> None:
    """Write a module to a file, its batch free and its weights as they are."""
    example = torch.zeros(2, *shape)
    how: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"], "opset_version": opset}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            batch = {0: torch.export.Dim("batch")}
            torch.onnx.export(
                model, (example,), str(path), dynamo=True, dynamic_shapes=(batch,), external_data=False, optimize=False,
                verbose=False, **how,
            )  # fmt: skip
        else:
            how |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
            how |= {"dynamic_axes": {"images": {0: "batch"}}}
            torch.onnx.export(model, (example,), str(path), dynamo=False, **how)


def compared(graph: Graph, other: Graph) -> dict[str, Any]:
    """Whether two have the same `graph`: ops, where their inputs come from, and shapes; and the same `numbers`. `why` not."""
    ours, theirs = _described(graph), _described(other)
    if ours != theirs:
        i = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
        why = f"{len(ours)} and {len(theirs)} nodes; node {i}: {ours[i : i + 1]}, {theirs[i : i + 1]}"
        return {"graph": False, "numbers": False, "why": why}
    for a, b in zip(_in_order(graph), _in_order(other), strict=True):
        attrs = [{key: value for key, value in node.attrs.items() if key not in LEARNED} for node in (a, b)]
        parts = [key for key in a.tensors if not np.array_equal(a.tensors[key], b.tensors[key])]
        if attrs[0] != attrs[1] or parts:
            what = f"{attrs[0]}, {attrs[1]}" if attrs[0] != attrs[1] else ", ".join(parts)
            return {"graph": True, "numbers": False, "why": f"{a.name} ({a.op}): {what}"}
    return {"graph": True, "numbers": True}


def _described(graph: Graph) -> list[Any]:
    """A graph without its names, in `_in_order`."""
    nodes = _in_order(graph)
    places = {name: i for i, name in enumerate([*graph.inputs, *(node.name for node in nodes)])}
    return [(n.op, [places[i] for i in n.inputs], graph.values[n.name].shape, sorted(n.tensors)) for n in nodes]


def _in_order(graph: Graph) -> list[Node]:
    """The nodes by where the output needs them, operand by operand: whatever order a file has them in."""
    left = {node.name: node for node in graph.nodes}
    found: list[Node] = []
    stack = [left[name] for name in graph.outputs]
    while stack:
        needed = [left[name] for name in stack[-1].inputs if name in left]
        if needed:
            stack.append(needed[0])
        elif (node := left.pop(stack.pop().name, None)) is not None:
            found.append(node)
    return found


def measure(case: Case) -> dict[str, Any]:
    """By exporter, whether a network was `written` and `read`, its `graph` and `integers` are the same, and `why` not."""
    model, side = made(case)
    randomize(model)
    shape, preprocess = (3, side, side), bw.Preprocess(size=side, mean=IMAGENET["mean"], std=IMAGENET["std"])
    pixels = smooth_images(CALIBRATED + TESTED, side)
    fitted, tested = pixels[:CALIBRATED], pixels[CALIBRATED:]
    settle(model, torch.from_numpy(preprocess.normalise(fitted)))
    source = float_model(model)
    images = preprocess.normalise(tested)

    def logits(found: Captured) -> bytes:
        artifact = bw.quantize(found, fitted, preprocess=preprocess, recipe=Recipe(algorithms=()), guard=False)
        return Engine(artifact)(tested).tobytes()

    captured = source.capture(shape)
    graph, expected = fuse(captured.graph), cache(lambda: logits(captured))
    record: dict[str, Any] = {}
    for exporter in EXPORTERS:
        one: dict[str, Any] = {"written": False, "read": False, "graph": False, "integers": False}
        record[exporter] = one
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.onnx"
            try:
                export(model, shape, path, exporter)
                one["written"] = True
                read = load_model(path).float_model
                other = read.capture(shape)
                one |= {"read": True, **compared(graph, fuse(other.graph))}
                runs = one["graph"] and (not one["numbers"] or len(graph.nodes) <= FEW)
                one["integers"] = expected() == logits(other) if runs else one["graph"]
                one["difference"] = float(np.abs(read.predict(images) - source.predict(images)).max())
            except Exception as error:  # noqa: BLE001 - torch.onnx and what reads its files raise what they like
                one["why"] = (str(error).splitlines() or [""])[0].replace(str(path), "")[:300] or type(error).__name__
    return record


def run(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The records by network; what was measured before is taken from `--kept`."""
    kept: dict[str, dict[str, Any]] = json.loads(args.kept.read_text()) if args.kept.exists() else {}
    torch.set_num_threads(1)  # a process that is forked has no others, and would wait for them
    with tempfile.TemporaryDirectory() as folder:
        for exporter in EXPORTERS:  # so that what they import is imported once, and not in every process
            export(nn.Conv2d(3, 1, 1).eval(), (3, 1, 1), Path(folder) / "m.onnx", exporter)
    for case in networks():
        key, start = f"{case.library} {case.name}", time.monotonic()
        if not _is_wanted(args, case.name, kept.get(key)):
            continue
        found = in_a_process(case, args.seconds, args.gigabytes, measure)
        kept[key] = {**found, "seconds": round(time.monotonic() - start)}
        print(f"{key}: {kept[key]}", file=sys.stderr, flush=True)
        write_atomically(args.kept, json.dumps(kept, indent=1).encode())
    return kept


def _is_wanted(args: argparse.Namespace, name: str, before: dict[str, Any] | None) -> bool:
    if args.only or args.no_more:
        return name in (args.only or ())
    if before is None:
        return not args.differing
    return args.differing and not all(before.get(exporter, {}).get("integers") for exporter in EXPORTERS)


def table(records: dict[str, dict[str, Any]]) -> str:
    """A row for each network of which something differs, and the counts."""
    lines = ["| network | exporter | graph, integers | |", "| --- | --- | --- | --- |"]
    files = [
        (name, exporter, one) for name, row in records.items() for exporter, one in row.items() if exporter in EXPORTERS
    ]
    for name, exporter, one in files:
        if not (one["graph"] and one["integers"]):
            end = one.get("why", f"float logits differ by {one.get('difference', 0):.1e}")
            same = ", ".join(("another", "same")[one[key]] for key in ("graph", "integers"))
            stage = same if one["read"] else "not read" if one["written"] else "not written"
            lines.append(f"| {name} | {exporter} | {stage} | {end.replace('|', '/')} |")
    lines += [f"| {name} | | not measured | {row['why']} |" for name, row in records.items() if "why" in row]
    lines.append("")
    for exporter in EXPORTERS:
        written = [one for _, by, one in files if by == exporter and one["written"]]
        counts = ", ".join(f"{key} {sum(one[key] for one in written)}" for key in ("read", "graph", "integers"))
        lines.append(f"{exporter}: {len(written)} files: {counts}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these networks anew, and no others")
    parser.add_argument("--differing", action="store_true", help="measure anew those of which something differs")
    parser.add_argument("--kept", type=Path, default=Path("onnx.json"), help="the file of what was measured")
    parser.add_argument("--no-more", action="store_true", help="print what is kept")
    parser.add_argument("--seconds", type=float, default=900, help="what one network may take")
    parser.add_argument("--gigabytes", type=float, default=12, help="the memory that it may have")
    print(table(run(parser.parse_args())))


if __name__ == "__main__":
    main()
