"""Do the tests see faults? Draws mutants of src/bitwright (cosmic-ray makes them) and runs each against the tests of its part.

    make mutants                            100 mutants, seed 0
    make mutants ARGS="--count 20 --seed 1 --only algorithms/correction"

A mutant is never written into the tree: an import hook serves its source, to the processes that tests start as well. A file is
drawn by its size, then a place in it, then what is done to it. What a mutant changes is told by the syntax tree without
annotations and docstrings; where that stays the same, another one is drawn. Survivors are printed as diffs: a test is missing,
or the change is none (only speed, or words).
"""

import argparse
import ast
import difflib
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "bitwright"

CONFORMANCE = "tests/conformance"
PARTS = {
    "algorithms/correction": ("tests/algorithms/correction", f"{CONFORMANCE}/test_corrections.py"),
    "algorithms/ranges": ("tests/algorithms/ranges", f"{CONFORMANCE}/test_ranges.py"),
    "algorithms/training": (
        "tests/algorithms/training",
        *(f"{CONFORMANCE}/test_training{rest}.py" for rest in ("_gradients", "", "_gains")),
        *("tests/prepared/test_react.py", "tests/prepared/test_few_bits.py", "tests/training"),
    ),
    "ops": (f"{CONFORMANCE}/test_ops_refuse.py", CONFORMANCE, "tests/capture"),
    "prepared": ("tests/prepared", CONFORMANCE),
    "schemes": (f"{CONFORMANCE}/test_schemes.py", "tests/test_qtensor.py"),
    "images/encoders": (f"{CONFORMANCE}/test_encoders.py",),
    "zoo": ("tests/prepared/test_equality.py", "tests/models"),
    "graph.py": ("tests/artifact", f"{CONFORMANCE}/test_ops.py"),
    "quantization.py": ("tests/test_quantization.py", "tests/conformance/test_corrections.py"),
}
"""The tests of a part, by how its path begins. Else they are where its source is: of a/b.py, tests/a/test_b.py and tests/a."""

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


def tests_of(path: Path) -> list[str]:
    """What is run against a mutant of this file, the nearest first."""
    inside = path.relative_to(SOURCE)
    folder = Path("tests") / inside.parent
    near = [str(folder / f"test_{inside.stem}.py")]
    part = next((tests for start, tests in PARTS.items() if str(inside).startswith(start)), None)
    found = [*near, *(part or ([str(folder)] if inside.parent.parts else []))]
    return [test for test in dict.fromkeys(found) if (ROOT / test).exists()] or ["tests/test_package.py"]


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


def outcome(mutant: Mutant, seconds: float) -> str:
    """killed, timeout (which counts as killed), or survived."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mutated.py"
        file.write_text(mutant.code)
        (Path(folder) / "sitecustomize.py").write_text(HOOK)
        names = ["bitwright", *mutant.path.relative_to(SOURCE).with_suffix("").parts]
        package = names[-1] == "__init__"
        environment = {
            **os.environ,
            "MUTANT_MODULE": ".".join(names[:-1] if package else names),
            "MUTANT_FILE": str(file),
            "MUTANT_FOLDER": str(mutant.path.parent) if package else "",
            "PYTHONPATH": folder,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests_of(mutant.path)]
        try:
            run = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                timeout=seconds,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return "timeout"
    return "survived" if run.returncode == 0 else "killed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Files below src/bitwright whose path begins so.")
    parser.add_argument("--timeout", type=float, default=1800, help="Seconds for the tests of one mutant.")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    files = [path for path in sorted(SOURCE.rglob("*.py")) if str(path.relative_to(SOURCE)).startswith(args.only)]
    counts = dict.fromkeys(("killed", "timeout", "survived"), 0)
    for number in range(1, args.count + 1):
        mutant = draw(chance, files)
        found = outcome(mutant, args.timeout)
        counts[found] += 1
        print(f"{number:4} {found:8} {mutant.path.relative_to(SOURCE)} {mutant.operator}", flush=True)
        if found == "survived":
            print(mutant.diff(), flush=True)
    seen = args.count - counts["survived"]
    print(
        f"{seen} of {args.count} mutants killed ({100 * seen / args.count:.0f} %), {counts['timeout']} of them by time"
    )


if __name__ == "__main__":
    main()
