"""Instructions of moves, grouped layers and resizing on aarch64, in an emulator: `scripts/arm`, `python -m bench.instructions`.

Each layer is run on one image and on three; half of what the family's functions and the C library's copying and filling took
more is printed. It needs qemu-aarch64 7 or 8 with plugins (Debian's `qemu-user`) and a C compiler.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.pointwise import GROUPED, MOVES, Pointwise, planes
from bitwright.artifact import Artifact
from bitwright.images.preprocess import Preprocess
from tests.kernels.random_graph import RandomGraph

REPOSITORY = Path(__file__).resolve().parent.parent
ARM = REPOSITORY / "build" / "arm"
PROGRAMS = ("qemu-aarch64", "aarch64-linux-gnu-g++", "cc")
BUILT = (ARM / "logits", ARM / "resize")
SETS = ("scalar", "neon", "neon_dotprod")
MAPS = ((64, 56), (240, 14))
"""Channels and side."""
SCALED = {name: build for name, build in GROUPED.items() if "scales" in name}
COPYING = ("memcpy", "memset", "memmove")


def layer(build: Pointwise, channels: int, side: int) -> Artifact:
    graph = RandomGraph((3, side, side))
    x = graph.conv2d("input", channels, 1)
    after = build(graph, x, x)
    sums = [graph.global_avg_pool2d(graph.max_pool2d(v, 1, 1)) for v in (planes(graph, after), x)]  # nothing is fused
    graph.linear(graph.flatten(graph.moved("concat", *sums, axis=0)), 10, to_float=True)
    return Artifact(graph.build(), Preprocess(size=(side, side)))


def counted(plugin: Path, command: Sequence[str | Path], isa: str, parts: Sequence[str], given: bytes = b"") -> int:
    """Instructions of functions that have one of `parts` in their names, of the whole process."""
    counts = plugin.with_name("counts")
    emulator = ["qemu-aarch64", "-cpu", "max", "-plugin", plugin, "-E", f"BITWRIGHT_ISA={isa}"]
    environment = {**os.environ, "COUNTS": str(counts)}
    subprocess.run([*emulator, *command], input=given, env=environment, stdout=subprocess.DEVNULL, check=True)
    lines = (line.split(" ", 1) for line in counts.read_text().splitlines())
    return sum(int(count) for count, symbol in lines if any(part in symbol for part in parts))


def of_layer(plugin: Path, made: Artifact, isa: str, params: str) -> int:
    artifact, pixels = (plugin.with_name(name) for name in ("artifact", "pixels"))
    made.save(artifact)
    found = []
    for images in (1, 3):
        pixels.write_bytes(bytes(images * 3 * made.graph.values["input"].shape[1] ** 2))
        found.append(counted(plugin, [ARM / "logits", artifact, pixels, "1"], isa, (params, *COPYING)))
    return (found[1] - found[0]) // 2


def print_resizing(plugin: Path) -> None:
    plain = plugin.with_name("plain")
    sources = [
        "bench/plain_resize.cc",
        "csrc/pictures/resize.cc",
        "tests/library/resize.cc",
        ARM / "csrc/library/libbitwright.a",
    ]
    flags = ["-std=c++20", "-O3", "-static", "-Icsrc", "-DBITWRIGHT_ARM", "-Wl,--allow-multiple-definition"]
    subprocess.run(["aarch64-linux-gnu-g++", *flags, *sources, "-o", plain], cwd=REPOSITORY, check=True)
    for filter_, number in (("bilinear", "1"), ("bicubic", "3")):
        sizes = ["375", "500", "256", "341", number]
        found = [
            counted(plugin, [program, *sizes], "neon", ["resize_along"], bytes(375 * 500 * 3))
            for program in (plain, ARM / "resize")
        ]
        print(f"resize, {filter_}, 375 x 500 to 256 x 341: plain loops {found[0]:,}, neon {found[1]:,}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if missing := [name for name in (*PROGRAMS, *map(str, BUILT)) if shutil.which(name) is None]:
        raise SystemExit(f"expected qemu, a cross compiler and what scripts/arm builds; found no {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / "plugin.so"
        flags = ["-O1", "-shared", "-fPIC", "-Wl,--unresolved-symbols=ignore-all"]
        subprocess.run(["cc", *flags, "-o", plugin, REPOSITORY / "bench" / "plugin.c"], check=True)
        for params, layers in (("MoveParams", MOVES), ("GroupedParams", SCALED)):
            for title, build in layers.items():
                for channels, side in MAPS:
                    made = layer(build, channels, side)
                    found = {isa: of_layer(plugin, made, isa, params) for isa in SETS}
                    numbers = ", ".join(f"{isa} {count:,}" for isa, count in found.items())
                    print(f"{title}, {channels} of {side} x {side}: {numbers}", flush=True)
        print_resizing(plugin)


if __name__ == "__main__":
    main()
