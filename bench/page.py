"""Measures the marked tables of docs/performance.md and writes them: `python -m bench.page`, some 20 minutes on two cores.

A table stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; `--only NAME` measures just that one again.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.floats import MORE, TOKENS
from bitwright import _native

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PEERS = {
    "peers": ("--rounds", "7", "--repeats", "9"),
    "peers-more": ("--networks", *MORE, "--rounds", "5", "--repeats", "9"),
    "peers-tokens": ("--networks", *TOKENS, "--rounds", "5", "--repeats", "9"),
    "peers-batch-16": ("--batch", "16", "--threads", "2", "--rounds", "5", "--repeats", "16"),
    "peers-avx2": (
        *("--isa", "avx2", "--threads", "1", "--rounds", "7", "--repeats", "5", "--networks"),
        *("resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "cifar_resnet20"),
        *("mobilenetv4_small", "shufflenet_v2"),
    ),
}
"""Arguments of bench.peers."""
ISAS = {"kernels-amx": "amx", "kernels-avx512vnni": "avx512vnni"}
"""BITWRIGHT_ISA of those tables of kernels that are not for the best instruction set of the machine."""
TABLES = (*PEERS, "kernels-amx", "kernels-avx512vnni")


def measured(name: str, models: Path) -> str:
    environment = {**os.environ, **({"BITWRIGHT_ISA": ISAS[name]} if name in ISAS else {})}
    if name not in PEERS:
        run = subprocess.run(
            [sys.executable, "-m", "bench.kernels"], env=environment, check=True, capture_output=True, text=True
        )
        return f"```\n{run.stdout}```\n"
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.md"
        files = ("--markdown", str(table), "--models", str(models))
        subprocess.run([sys.executable, "-m", "bench.peers", *PEERS[name], *files], env=environment, check=True)
        return table.read_text()


def with_table(page: str, name: str, table: str) -> str:
    """The page with this table in the place of the old one."""
    block = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not block.search(page):
        raise SystemExit(f"the page has no place for the table {name!r}")
    return block.sub(lambda found: f"{found[1]}{table}{found[2]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--models", type=Path, default=Path("build/bench"), help="where converted models are kept")
    args = parser.parse_args()
    for name in args.only:
        if name.endswith("amx") and _native.detected_isa() != "amx":
            print(f"{name}: not here, this processor has no amx")
            continue
        table = measured(name, args.models)
        PAGE.write_text(with_table(PAGE.read_text(), name, table))
        print(f"{name}: written", flush=True)


if __name__ == "__main__":
    main()
