"""How many instructions the inner loops of the NEON kernels take: `python scripts/dot_products.py OBJECT...`, where one is
`build/arm/CMakeFiles/engine.dir/csrc/kernels/igemm/dotprod.cc.o`, once `scripts/arm` has made it.

Of each function it takes the shortest loop with 16 or more dot products, as objdump shows it, and prints its instructions for
each 16 products of bytes: one dot product, or half a product of matrices (USMMLA). At best every instruction is one of these.
"""

import re
import subprocess
import sys
from collections.abc import Iterator

DOT = re.compile(r"(?:s|u|su|us)(dot|mmla)\b")
TOGETHER = {"dot": 1, "mmla": 2}
"""How often 16 products of bytes one of these is."""
BRANCH = re.compile(r"(b\.\w+|cbn?z|tbn?z|b)\s.*?([0-9a-f]+) <")
LEAST = 16


def functions(listing: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Each function's name, and its instructions by their addresses."""
    for part in re.split(r"\n(?=[0-9a-f]+ <)", listing):
        if named := re.match(r"[0-9a-f]+ <(.*)>:", part):
            found = re.findall(r"^ *([0-9a-f]+):\t(.*)$", part, re.MULTILINE)
            yield named[1], [(int(address, 16), text) for address, text in found]


def inner_loop(instructions: list[tuple[int, str]]) -> tuple[int, int] | None:
    """Instructions, and how often 16 products, of the shortest loop that has enough of them; None where there is none."""
    place, loops = {address: i for i, (address, _) in enumerate(instructions)}, []
    for i, (_, text) in enumerate(instructions):
        branch = BRANCH.match(text)
        begin = place.get(int(branch[2], 16), i + 1) if branch else i + 1
        dots = sum(TOGETHER[found[1]] for _, text in instructions[begin : i + 1] if (found := DOT.match(text)))
        if dots >= LEAST:
            loops.append((i + 1 - begin, dots))
    return min(loops, default=None)


def main() -> None:
    for path in sys.argv[1:]:
        command = ["aarch64-linux-gnu-objdump", "--demangle", "--disassemble", "--no-show-raw-insn", path]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for name, instructions in functions(listing):
            if found := inner_loop(instructions):
                short = re.sub(r"bitwright::|\(anonymous namespace\)::|\(.*", "", name)
                print(f"{short:40} {found[0]:4} instructions, {found[1]:3} x 16 products: {found[0] / found[1]:.3f}")


if __name__ == "__main__":
    main()
