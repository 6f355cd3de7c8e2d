"""`python -m demo.classify FOLDER`: the second process. No torch in it: it loads each artifact and classifies the files."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

import bitwright as bw
from demo.without_torch import block_torch

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One model on the held-out pictures; percentages."""

    name: str
    accuracy: float
    agreement: float | None
    size_bytes: int
    path: str


def measure(out: Path) -> list[Row]:
    """The float network, as the first process left its answers in `demo.json`, then every artifact, run on the files."""
    record = json.loads((out / "demo.json").read_text())
    paths = list(record["answers"])
    truth = np.array([Path(path).parent.name for path in paths])
    reference = np.array([record["answers"][path] for path in paths])
    rows = [_row("float32", record["float"], reference == truth, None)]
    for recipe, where in record["artifacts"].items():
        artifact = bw.load(where)
        answers = np.array(artifact.classes)[bw.Engine(artifact)(paths).argmax(axis=1)]
        rows.append(_row(recipe, where, answers == truth, answers == reference))
    return rows


def _row(name: str, path: str, right: Flags, agrees: Flags | None) -> Row:
    agreement = None if agrees is None else 100 * float(agrees.mean())
    return Row(name, 100 * float(right.mean()), agreement, Path(path).stat().st_size, path)


def table(rows: list[Row], pictures: int) -> Table:
    """The rows as a table."""
    result = Table(title=f"{pictures} held-out pictures of handwritten digits")
    for heading in ("model", "accuracy", "agreement", "bytes", "of float"):
        result.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    for row in rows:
        agreement = "" if row.agreement is None else f"{row.agreement:.2f} %"
        share = f"{100 * row.size_bytes / rows[0].size_bytes:.0f} %"
        result.add_row(row.name, f"{row.accuracy:.2f} %", agreement, f"{row.size_bytes:,}", share)
    return result


def main(out: Path) -> None:
    """Print the table of `out`."""
    block_torch()
    rows = measure(out)
    pictures = len(json.loads((out / "demo.json").read_text())["answers"])
    assert "torch" not in sys.modules
    console = Console(highlight=False, soft_wrap=True)
    console.print(table(rows, pictures))
    console.print("Agreement is with float32. The integer models ran where torch cannot be imported. The files:")
    for row in rows:
        console.print(f"  {row.path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
