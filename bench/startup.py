"""From an artifact to its first answer in a fresh process, and the memory it takes: `python -m bench.startup ARTIFACT`.

Each run is a Python process of its own that imports bitwright, loads the artifact and classifies one image of zeros; the clock
runs from its start to its answer. torch is forbidden in it: whoever imports it fails.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.arguments import existing

CHILD = """
import sys
sys.modules["torch"] = None
import numpy as np
import bitwright
engine = bitwright.Engine(sys.argv[1], threads=int(sys.argv[2]))
engine(np.zeros((1, *engine.artifact.preprocess.shape), np.uint8))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), flush=True)
"""


def start(artifact: Path, threads: int) -> tuple[float, float]:
    """Milliseconds to the first answer, and the most MiB that the process ever held."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", CHILD, str(artifact), str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        kilobytes = child.stdout.readline()
        seconds = time.perf_counter() - begin
    if child.returncode:
        raise SystemExit(f"the process ended with {child.returncode}")
    return seconds * 1e3, int(kilobytes) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=existing)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    size = args.artifact.stat().st_size / 2**20
    print("| artifact MiB | threads | median ms | least ms | most MiB held | 2.5 x artifact + 40 MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for threads in args.threads:
        start(args.artifact, threads)
        runs = [start(args.artifact, threads) for _ in range(args.runs)]
        times = [milliseconds for milliseconds, _ in runs]
        held = max(mebibytes for _, mebibytes in runs)
        figures = f"{statistics.median(times):.0f} | {min(times):.0f} | {held:.0f} | {2.5 * size + 40:.0f}"
        print(f"| {size:.1f} | {threads} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
