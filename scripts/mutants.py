"""Do the tests see faults? Draws mutants of src/bitwright (cosmic-ray makes them) and runs each against the tests of its part.

    make mutants                            100 mutants, seed 0
    make mutants ARGS="--count 20 --seed 1 --only algorithms/correction"

A mutant is never written into the tree: an import hook serves its source, to the processes that tests start as well. A file is
drawn by its size, then a place in it, then what is done to it. What a mutant changes is told by the syntax tree without
annotations and docstrings; where that stays the same, another one is drawn. Survivors are printed as diffs: a test is missing,
or the change is none (only speed, or words).

What became of each is kept in build/mutants.jsonl, so that an interrupted run goes on where it was. `--kept survived` draws
none: it puts those that survived into today's sources, wherever their lines are now, and runs them again, after tests were
added. Of a mutant that ran out of time nobody knows more: it hangs, or the tests are long.
"""

import argparse
import ast
import contextlib
import difflib
import hashlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch.export  # noqa: F401  large: imported once, before the forks
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "bitwright"
KEPT = ROOT / "build" / "mutants.jsonl"

CONFORMANCE = "tests/conformance"
OPS = tuple(f"{CONFORMANCE}/test_ops{rest}.py" for rest in ("_refuse", "", "_torch", "_float", "_overflow", "_native"))
PARTS = {
    "algorithms/correction": ("tests/algorithms/correction", f"{CONFORMANCE}/test_corrections.py"),
    "algorithms/ranges": ("tests/algorithms/ranges", f"{CONFORMANCE}/test_ranges.py"),
    "algorithms/training": (
        "tests/algorithms/training",
        *(f"{CONFORMANCE}/test_training{rest}.py" for rest in ("_gradients", "", "_gains")),
        *("tests/prepared/test_react.py", "tests/prepared/test_few_bits.py", "tests/training"),
    ),
    "artifact": ("tests/artifact", "tests/test_artifact_bytes.py"),
    "chance.py": ("tests/test_evaluation.py", "tests/training"),
    "cli/label_options.py": ("tests/cli/test_labels.py", "tests/cli"),
    "class_files.py": ("tests/test_classes.py", "tests/cli/test_labels.py"),
    "graph_check.py": ("tests/artifact", *OPS),
    "ops": (*OPS, "tests/ops", "tests/capture"),
    "plugins.py": ("tests/plugins",),
    "prepared/quantizers.py": (
        *("tests/prepared/test_few_bits.py", f"{CONFORMANCE}/test_training_gradients.py"),
        *(f"{CONFORMANCE}/test_training.py", f"{CONFORMANCE}/test_corrections.py", "tests/prepared"),
    ),
    "prepared/ops": (f"{CONFORMANCE}/test_ops_torch.py", *OPS, "tests/prepared"),
    "prepared": ("tests/prepared", *OPS, f"{CONFORMANCE}/test_corrections.py"),
    "progress.py": ("tests/cli", "tests/training"),
    "records.py": ("tests/test_evaluation.py", "tests/cli"),
    "registry.py": ("tests/plugins",),
    "schemes": (f"{CONFORMANCE}/test_schemes.py", "tests/test_qtensor.py"),
    "images/sources/kinds.py": ("tests/images/sources", "tests/plugins"),
    "images/encoders": (f"{CONFORMANCE}/test_encoders.py",),
    "zoo": ("tests/prepared/test_equality.py", "tests/models"),
    "graph.py": ("tests/artifact", f"{CONFORMANCE}/test_ops.py"),
    "walk.py": ("tests/test_walk.py", "tests/models/test_graph_model.py"),
    "calibration.py": ("tests/test_quantization.py", "tests/conformance/test_corrections.py"),
    "quantization.py": ("tests/test_quantization.py", "tests/conformance/test_corrections.py"),
}
"""The tests of a part, by how its path begins. Else they are where its source is: of a/b.py, tests/a/test_b.py and tests/a."""

EVERYWHERE = "tests/test_habits.py"
"""What holds for all sources is tested at once: last, for each of them."""

LONG = ("tests/prepared/test_equality.py", "tests/capture/test_torch_models.py")

WAITS = 20
"""So many times its seconds of a processor may pass before a file of tests counts as hanging."""

FAMILIES = (
    {"Add", "Sub", "Mul", "Div", "FloorDiv"},
    {"Mod", "FloorDiv"},
    {"Pow", "Mul"},
    {"LShift", "RShift"},
    {"BitAnd", "BitOr", "BitXor"},
    {"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"},
    {"Is", "IsNot"},
)
"""Binary operators and comparisons that are taken for one another."""

HOOK = """
import importlib.abc, importlib.util, os, sys
class Mutant(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["MUTANT_MODULE"]:
            places = [os.environ["MUTANT_FOLDER"]] if os.environ["MUTANT_FOLDER"] else None
            return importlib.util.spec_from_file_location(
                name, os.environ["MUTANT_FILE"], submodule_search_locations=places)
sys.meta_path.insert(0, Mutant())
"""


@dataclass(frozen=True)
class Mutant:
    """One change to one file."""

    path: Path
    operator: str
    code: str

    def diff(self) -> str:
        old = self.path.read_text().splitlines()
        where = str(self.path.relative_to(ROOT))
        return "\n".join(difflib.unified_diff(old, self.code.splitlines(), where, where, lineterm="", n=0))

    def change(self) -> dict[str, Any]:
        """The lines that it replaces, from the first that differs to the last."""
        old, new = self.path.read_text().splitlines(), self.code.splitlines()
        start = _alike(old, new)
        end = min(_alike(old[::-1], new[::-1]), len(old) - start, len(new) - start)
        return {"line": start, "old": old[start : len(old) - end], "new": new[start : len(new) - end]}

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.path.relative_to(ROOT)}\n{self.code}".encode()).hexdigest()


def _alike(a: list[str], b: list[str]) -> int:
    """How many lines are the same at the beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def tests_of(path: Path) -> list[str]:
    """The files that are run against a mutant of this one, the nearest first: of its name, then those that import it.

    Files and no folders: pytest runs a file that is named beside its folder in its place in the folder."""
    inside = path.relative_to(SOURCE)
    folder = ROOT / "tests" / inside.parent
    while not folder.exists():
        folder = folder.parent
    part = next((tests for start, tests in PARTS.items() if str(inside).startswith(start)), None)
    rest = [ROOT / test for test in part] if part else [folder] if folder.name != "tests" else []
    near = ROOT / "tests" / inside.parent / f"test_{inside.stem}.py"
    files = [
        file for place in [near, *rest] for file in ([place] if place.suffix else sorted(place.rglob("test_*.py")))
    ]
    found = [str(file.relative_to(ROOT)) for file in dict.fromkeys(files) if file.exists()]
    module = ".".join(("bitwright", *inside.with_suffix("").parts)).removesuffix(".__init__")

    def far(test: str) -> tuple[bool, bool, bool]:
        return test in LONG, ROOT / test != near, f"{module} import" not in (ROOT / test).read_text()

    return [*(sorted(found, key=far) or ["tests/test_package.py"]), EVERYWHERE]


def meaning(code: str) -> str:
    """The syntax tree without annotations and docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def places(code: str) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Where in a file something can be changed: operators and their occurrences, by line and column."""
    nodes = list(ast_nodes(get_ast(code)))
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for name in filter(sensible, operator_names()):
        try:
            operator = get_operator(name)()
        except TypeError:  # one that wants arguments
            continue
        occurrence = 0
        for node in nodes:
            for start, _ in operator.mutation_positions(node):
                found.setdefault(start, []).append((name, occurrence))
                occurrence += 1
    return found


def sensible(name: str) -> bool:
    """Whether an operator makes faults that someone could make: no shift in place of a sum, no `is` in place of `<`."""
    kind, _, rest = name.rpartition("/")[2].partition("_")
    if kind not in ("ReplaceBinaryOperator", "ReplaceComparisonOperator"):
        return True
    return any({*rest.split("_")} <= family for family in FAMILIES)


def draw(chance: random.Random, files: list[Path]) -> Mutant:
    """One mutant that parses and changes something."""
    sizes = [len(path.read_text().splitlines()) for path in files]
    while True:
        path = chance.choices(files, sizes)[0]
        code = path.read_text()
        found = places(code)
        if not found:
            continue
        name, occurrence = chance.choice(found[chance.choice(sorted(found))])
        mutated = mutate_code(code, get_operator(name)(), occurrence)
        try:
            if mutated is not None and meaning(mutated) != meaning(code):
                return Mutant(path, name, mutated)
        except SyntaxError:
            continue


def outcome(mutant: Mutant, seconds: float) -> tuple[str, str]:
    """killed, timeout (which counts as killed) or survived; and by which file of tests."""
    for test in tests_of(mutant.path):
        found = outcome_of(mutant, test, seconds)
        if found != "survived":
            return found, test
    return "survived", ""


def outcome_of(mutant: Mutant, test: str, seconds: float) -> str:
    """What becomes of the mutant in one file of tests: a fork of this process, which has imported what is large."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mutated.py").write_text(mutant.code)
        (Path(folder) / "sitecustomize.py").write_text(HOOK)
        child = os.fork()
        if not child:
            _run(mutant, test, Path(folder), seconds)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it has started
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM) else "killed"
    return "survived" if os.WEXITSTATUS(status) in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else "killed"


def _run(mutant: Mutant, test: str, folder: Path, seconds: float) -> None:
    """In the fork: run the tests with the mutant in place of its module, and end with pytest's exit status."""
    names = ["bitwright", *mutant.path.relative_to(SOURCE).with_suffix("").parts]
    package = names[-1] == "__init__"
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
    signal.alarm(int(WAITS * seconds))
    with open(os.devnull, "r+b") as nothing:
        for stream in range(3):
            os.dup2(nothing.fileno(), stream)
    os.environ |= {
        "MUTANT_MODULE": ".".join(names[:-1] if package else names),
        "MUTANT_FILE": str(folder / "mutated.py"),
        "MUTANT_FOLDER": str(mutant.path.parent) if package else "",
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))  # processes that are started with this one's path get the mutant as well
    exec(HOOK, {})
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", test]))


def kept() -> dict[str, dict[str, Any]]:
    """What earlier runs found, by the key of the mutant; the last run of each."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    return {found["key"]: found for found in map(json.loads, lines)}


def keep(key: str, mutant: Mutant, found: str, by: str, seconds: float) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    about = {"path": str(mutant.path.relative_to(ROOT)), "operator": mutant.operator, "seconds": round(seconds)}
    with KEPT.open("a") as file:
        file.write(json.dumps({"key": key, "outcome": found, "by": by, **about, **mutant.change()}) + "\n")


def remade(found: dict[str, Any]) -> Mutant | None:
    """A mutant that is kept, in today's sources: where its lines stand nearest to their old place. None: they are gone."""
    path, old = ROOT / found["path"], found["old"]
    lines = path.read_text().splitlines() if path.exists() else []
    places = [i for i in range(len(lines)) if lines[i : i + len(old)] == old]
    if not places:
        return None
    start = min(places, key=lambda i: abs(i - found["line"]))
    code = [*lines[:start], *found["new"], *lines[start + len(old) :]]
    return Mutant(path, found["operator"], "\n".join(code) + "\n")


def chosen(args: argparse.Namespace) -> Iterator[tuple[str, Mutant]]:
    """The mutants to run, with their keys: drawn, or kept ones again."""
    if not args.kept:
        chance = random.Random(args.seed)
        files = [path for path in sorted(SOURCE.rglob("*.py")) if _within(path, args.only)]
        drawn = (draw(chance, files) for _ in range(args.count))
        yield from ((mutant.key, mutant) for mutant in drawn)
        return
    for key, found in kept().items():
        if found["outcome"] != args.kept or not _within(ROOT / found["path"], args.only):
            continue
        mutant = remade(found)
        if mutant is None:
            print(f"     gone     {found['path']}: {found['old']}")
        else:
            yield key, mutant


def _within(path: Path, start: str) -> bool:
    return str(path.relative_to(SOURCE)).startswith(start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Files below src/bitwright whose path begins so.")
    parser.add_argument("--timeout", type=float, default=900, help="Seconds of a processor for a file of tests.")
    parser.add_argument("--kept", choices=("survived", "timeout"), help="Draw none, run these again.")
    args = parser.parse_args()
    counts = dict.fromkeys(("killed", "timeout", "survived"), 0)
    before = {} if args.kept else kept()
    for number, (key, mutant) in enumerate(chosen(args), 1):
        if key in before:
            found = before[key]["outcome"]
        else:
            start = time.monotonic()
            found, by = outcome(mutant, args.timeout)
            keep(key, mutant, found, by, time.monotonic() - start)
        counts[found] += 1
        print(f"{number:4} {found:8} {mutant.path.relative_to(SOURCE)} {mutant.operator}", flush=True)
        if found == "survived":
            print(mutant.diff(), flush=True)
    total = sum(counts.values())
    seen = total - counts["survived"]
    share = f" ({100 * seen / total:.0f} %)" if total else ""
    print(f"{seen} of {total} mutants killed{share}, {counts['timeout']} of them by time")


if __name__ == "__main__":
    main()
