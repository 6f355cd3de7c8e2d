"""What `bitwright audit` prints of single bits of the weights that flip."""

import click

from bitwright.audit.bit_flip_records import BitFlips
from bitwright.cli.output import print_pairs, print_table

COLUMNS = ("layer", "weight", "byte.bit>", "code>", "changed %>", "top-1 %>", "KL>", "guess>")


def print_bit_flips(found: BitFlips) -> None:
    """How much a flip does at random, and which do most."""
    whole = f"{found.tried} of the {found.of} that the gradient chose, of {found.bits:,} bits"
    random = None
    if found.random_mean is not None and found.random_worst is not None:
        random = (
            f"{found.random_mean:.2f} % of the answers change, at most {found.random_worst:.2f} %, of {found.random}"
        )
    print_pairs(
        [
            ("flips tried", f"{whole}, on {found.images:,} images"),
            ("a flip at random", random),
            ("top-1 without", None if found.top1 is None else f"{found.top1:.2f} %"),
        ]
    )
    if found.flips:
        click.echo()
        print_table(
            COLUMNS,
            [
                (
                    flip.layer,
                    ",".join(map(str, flip.weight)),
                    f"{flip.byte}.{flip.bit}",
                    f"{flip.before} -> {flip.after}",
                    f"{flip.changed:.2f}",
                    None if flip.top1 is None else f"{flip.top1:.2f}",
                    f"{flip.kl:.3g}",
                    f"{flip.guess:.3g}",
                )
                for flip in found.flips
            ],
        )
