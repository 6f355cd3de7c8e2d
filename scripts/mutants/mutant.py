"""`Mutant`: one change to one file, and `draw`, which makes them, by the operators of cosmic-ray."""

import ast
import difflib
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "bitwright"

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
