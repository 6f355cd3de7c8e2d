"""Which networks can be captured, and whether their integers are the same everywhere: `python -m bench.coverage LIBRARY`.

LIBRARY is torchvision, timm, transformers (`bench.families` says which networks), or torch, whose models for testing
quantization are captured and nothing more (`bench.torch_models`). Of each network, in a process of its own with a limit of time
and of memory: it is captured, quantized to w8a8 on a few images (no corrections), run by the engine (the instructions that this
machine has, and plain ones; one thread and two) and compared with the reference to the byte; and the SQNR of its logits,
    SQNR = 10 log10 (sum y**2 / sum (y - y_q)**2) dB,  y the float model's logits
What was found is kept in the file `--kept`, so that an interrupted run goes on where it stood; `--only` and `--refused` measure
anew. `--write` puts the library's table into docs/coverage.md.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.coverage_of_one import in_a_process
from bench.families import cases, out_of_scope
from bitwright.files import write_atomically

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "coverage.md"
LIBRARIES = ("torchvision", "timm", "transformers")
STAGES = {
    "none": "not made",
    "made": "not captured",
    "captured": "not quantized",
    "quantized": "not equal",
    "equal": "",
}
"""By what was reached: what was not."""


def is_covered(record: dict[str, Any]) -> bool:
    """Whether all that was asked of a network was reached."""
    return bool(record["reached"] == ("equal" if record["in_full"] else "captured"))


def table(library: str, records: dict[str, dict[str, Any]], count: int) -> str:
    """The section of docs/coverage.md: what is covered, and what is not and why. `count` networks could be tried."""
    measured = {name: record for name, record in records.items() if "outside" not in record}
    covered = sum(map(is_covered, measured.values()))
    later = count - len(records)
    lines = [
        f"## {library}",
        f"**{covered} of {len(measured)}.**{f' {later} more were not tried yet.' if later else ''}",
        "",
    ]
    lines += [
        "| family | network | image | nodes | capture, s | SQNR, dB | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, record in sorted(measured.items(), key=lambda item: (item[1]["family"], item[0])):
        cells = (record.get(key, "") for key in ("side", "nodes", "capture_s", "sqnr_db"))
        if is_covered(record):
            end = "engine = reference" if record["in_full"] else "captured"
        else:
            end = f"{STAGES[record['reached']]}: {record['why']}"
        lines.append(f"| {record['family']} | {name} | {' | '.join(map(str, cells))} | {end.replace('|', '/')} |")
    outside = [f"{name} ({record['outside']})" for name, record in sorted(records.items()) if "outside" in record]
    lines += ["", f"Out of scope: {'; '.join(outside)}."] if outside else []
    return "\n".join(lines) + "\n"


def write(library: str, text: str) -> None:
    """Put a library's section into the page, between its marks."""
    begin, end = (f"<!-- bench.coverage {library}: {mark} -->\n" for mark in ("begin", "end"))
    before, _, rest = PAGE.read_text("utf-8").partition(begin)
    PAGE.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}", "utf-8")


def run(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The records of a library by network; what was measured before is taken from `--kept`."""
    kept: dict[str, dict[str, Any]] = json.loads(args.kept.read_text()) if args.kept.exists() else {}
    every = list(cases(args.library))
    if unknown := set(args.only or ()) - {case.name for case in every}:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; expected some of {', '.join(case.name for case in every)}")
    for number, case in enumerate(every, 1):
        before = kept.get(case.name)
        again = args.refused and before is not None and not ("outside" in before or is_covered(before))
        if not (case.name in args.only if args.only else before is None or again):
            continue
        if reason := out_of_scope(case):
            kept[case.name] = {"outside": reason}
        else:
            found = in_a_process(case, args.seconds, args.gigabytes)
            kept[case.name] = {**found, "family": case.family, "in_full": case.in_full}
        shown = {key: value for key, value in kept[case.name].items() if key != "whole"}
        print(f"{number}/{len(every)} {case.name}: {shown}", file=sys.stderr, flush=True)
        write_atomically(args.kept, json.dumps(kept, indent=1).encode())
    return {case.name: kept[case.name] for case in every if case.name in kept}


def of_torch() -> None:
    """Print which of torch's own test models can be captured."""
    from bench.torch_models import torch_cases, why_not

    found = {case.name: why_not(case) for case in torch_cases()}
    for name, reason in found.items():
        print(f"{name:40} {reason or 'captured'}")
    print(f"{sum(not reason for reason in found.values())} of {len(found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=("torch", *LIBRARIES))
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these networks anew, and no others")
    parser.add_argument("--refused", action="store_true", help="measure anew what was not covered")
    parser.add_argument("--kept", type=Path, help="the file of what was measured; LIBRARY.json")
    parser.add_argument("--seconds", type=float, default=600, help="what one network may take")
    parser.add_argument("--gigabytes", type=float, default=12, help="the memory that it may have")
    parser.add_argument("--json", action="store_true", help="print the records in place of the table")
    parser.add_argument("--write", action="store_true", help="put the table into docs/coverage.md")
    args = parser.parse_args()
    if args.library == "torch":
        of_torch()
        return
    args.kept = args.kept or Path(f"{args.library}.json")
    records = run(args)
    text = table(args.library, records, len(list(cases(args.library))))
    print(json.dumps(records, indent=1) if args.json else text)
    if args.write:
        write(args.library, text)


if __name__ == "__main__":
    main()
