"""Artifacts of an older checkout in both builds: are the logits equal to the byte, on every instruction set and thread count?

    python -m bench.same_logits OLD NEW/.venv/bin/python [--artifacts FILE ...] [--folder build/old]

OLD is a checkout with its .venv. It writes torchvision's networks with random weights (`bench/write_artifacts.py`), in its own
format; they, and the artifacts given besides, are then run by both builds. The exit status is 1 where any differ.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from bench.arguments import existing, program
from bench.pair import Build

WRITER = Path(__file__).with_name("write_artifacts.py")
ISAS = ("scalar", "avx2", "avxvnni", "avx512vnni", "amx")
IMAGES = 3


def digests(builds: tuple[Build, Build], path: Path, threads: int) -> list[str]:
    return [build.ask(str(path.resolve()), threads, IMAGES, 0)["digest"] for build in builds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=existing, help="the older checkout")
    parser.add_argument("new", type=program, help="an interpreter that has the newer bitwright")
    parser.add_argument("--artifacts", nargs="*", type=existing, default=[], help="more of them, that both can read")
    parser.add_argument("--folder", type=Path, default=Path("build/old"), help="where what OLD writes is kept")
    parser.add_argument("--isas", nargs="+", default=list(ISAS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    given = parser.parse_args()
    old = str(given.old / ".venv" / "bin" / "python")
    subprocess.run([old, "-P", str(WRITER), str(given.old), str(given.folder)], check=True)
    paths = [*sorted(given.folder.glob("*.bw.safetensors")), *given.artifacts]
    different = 0
    expected: dict[Path, str] = {}
    for isa in given.isas:
        builds = Build(old, isa), Build(given.new, isa)
        for path in paths:
            found = {digest for threads in given.threads for digest in digests(builds, path, threads)}
            same = found == {expected.setdefault(path, min(found))}
            different += not same
            print(f"{isa:12s} {path.name:45s} {'equal' if same else 'DIFFERENT'}", flush=True)
        for build in builds:
            build.close()
    print(f"{len(paths)} artifacts, {len(given.isas)} instruction sets, {given.threads} threads: {different} differ")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
