"""The models of `bitwright zoo`, made and measured: writes the table of docs/models.md.

    python -m bench.hub DATA [--only NAME ...] [--timing] [--write]

DATA is the folder that `bench.accuracy` reads. Each model is made by `bitwright zoo make`, and its accuracy measured by the
engine on its test images; `--timing` times all that are made by `bitwright bench` on one thread, which wants a machine that
does nothing else. Artifacts and figures are kept in `--kept`, and a run that was interrupted goes on there; `--only` measures
these anew.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.arguments import existing
from bitwright.files import write_atomically
from bitwright.hub import MODELS, QuantizedModel

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
START, END = "<!-- bench.hub: begin -->\n", "<!-- bench.hub: end -->\n"
HEAD = """| model | network | bits | images | float | integer | agreement | ms | bytes | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def bitwright(*words: str) -> str:
    command = [sys.executable, "-m", "bitwright", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def measure(model: QuantizedModel, data: Path, file: Path) -> dict[str, Any]:
    """Make the model and measure it; what its own record says must be what the engine gives."""
    bitwright("zoo", "make", model.name, "--data", str(data), "-o", str(file))
    found = json.loads(bitwright("evaluate", str(file), "--data", str(data / model.test), "--json"))
    recorded = json.loads(bitwright("inspect", str(file), "--json"))["provenance"]["measured"]
    if abs(found["top1"] - recorded["top1"]) > 1e-9:
        raise SystemExit(f"{model.name}: measured {found['top1']}, its record says {recorded['top1']}")
    return {**recorded, "bytes": file.stat().st_size}


def table(records: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, record in records.items():
        model = MODELS[name]
        figures = [record.get("float_top1"), record["top1"], record.get("agreement"), record.get("ms")]
        places = (2, 2, 2, 3)
        cells = [f"`{name}`", f"`{model.network}`", f"`{model.bits}`", f"{record['images']:,}"]
        cells += ["-" if v is None else f"{v:.{n}f}" for v, n in zip(figures, places, strict=True)]
        cells += [f"{record['bytes']:,}", "trained" if model.is_trained else "made"]
        lines.append(f"| {' | '.join(cells)} |\n")
    commands = "".join(f"bitwright zoo make {n} --data DATA -o {n}.bw.safetensors\n" for n in records)
    return f"{HEAD}{''.join(lines)}\n```\n{commands}```\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=existing)
    parser.add_argument("--only", nargs="+", choices=list(MODELS))
    parser.add_argument("--kept", type=Path, default=Path("hub"))
    parser.add_argument("--timing", action="store_true", help="time the models that are there, in place of making any")
    parser.add_argument("--write", action="store_true", help="put the table into docs/models.md")
    given = parser.parse_args()
    given.kept.mkdir(parents=True, exist_ok=True)
    log = given.kept / "figures.json"
    records: dict[str, dict[str, Any]] = json.loads(log.read_text()) if log.exists() else {}
    for name, model in MODELS.items():
        file = given.kept / f"{name}.bw.safetensors"
        if given.timing and name in records:
            timed = json.loads(bitwright("bench", str(file), "--threads", "1", "--json"))
            records[name]["ms"] = timed["median_ms"]
        elif not given.timing and (name in given.only if given.only else name not in records):
            print(name, file=sys.stderr, flush=True)
            records[name] = measure(model, given.data, file)
        write_atomically(log, json.dumps(records, indent=1).encode())
    page = table({name: records[name] for name in MODELS if name in records})
    print(page)
    if given.write:
        head, rest = PAGE.read_text("utf-8").split(START)
        PAGE.write_text(f"{head}{START}{page}{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    main()
