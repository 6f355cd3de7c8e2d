"""Checks that no code of the engine is compiled for two targets under one name: `scripts/one_target.py libengine.a`.

An inline function that several files compile is one function to the linker, which keeps any one of them. Where that is the one
for AVX-512, a machine without it stops at an illegal instruction. So what a file of a target may share lies in its namespace.
"""

import re
import subprocess
import sys

LINE = re.compile(r"(?P<archive>[^:]*):(?P<target>[a-z0-9]+)[a-z0-9_]*\.cc\.o:\S* (?P<type>.) (?P<name>.*)")
TARGETS = {"avx2", "avxvnni", "avx512", "avx512vnni", "avx512vbmi", "avx512popcnt", "amx"}
SHARED = set("WVu")
"""The letters that nm gives to what the linker keeps one of."""


def shared(archive: str) -> dict[str, list[str]]:
    """What the files of each target share with files of others."""
    listed = subprocess.run(["nm", "-A", "-C", "--defined-only", archive], capture_output=True, text=True, check=True)
    lines = [match for line in listed.stdout.splitlines() if (match := LINE.match(line))]
    found: dict[str, list[str]] = {target: [] for target in sorted(TARGETS & {line["target"] for line in lines})}
    for line in lines:
        target = line["target"]
        if target in found and line["type"] in SHARED and f"bitwright::{target}::" not in line["name"]:
            found[target].append(line["name"])
    return found


def main() -> None:
    found = shared(sys.argv[1])
    if not found:
        sys.exit(f"{sys.argv[1]}: expected objects of {', '.join(sorted(TARGETS))}, found none")
    wrong = [f"  for {target}: {name}" for target, names in found.items() for name in sorted(set(names))]
    if wrong:
        print(f"{sys.argv[1]}: inline functions outside of the namespace of their target:", *wrong, sep="\n")
        sys.exit(
            "put them in `inline namespace BITWRIGHT_TARGET`, see csrc/kernels/target.h; members can be BITWRIGHT_INLINE"
        )


if __name__ == "__main__":
    main()
