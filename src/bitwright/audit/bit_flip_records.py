"""Records of what single flipped bits of the weights do. They need no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BitFlip:
    """A bit of a layer's packed weights that flips, and what the integer model does then.

    Attributes:
        layer: whose weights.
        byte, bit: its place in the packed tensor of the file; bit 0 is the least significant one.
        weight: the index of the weight [O, ...] that it changes, the first of several of a ternary byte.
        before, after: its code.
        guess: by how much the gradient says that the loss grows, in nats an image.
        changed: percentage of the images that get another class.
        top1: the accuracy with it, in percent; None without labels.
        kl: of the classes' probabilities from those without it, in nats.
    """

    layer: str
    byte: int
    bit: int
    weight: tuple[int, ...]
    before: int
    after: int
    guess: float
    changed: float
    top1: float | None
    kl: float

    @property
    def key(self) -> tuple[str, int, int]:
        """Which bit it is."""
        return self.layer, self.byte, self.bit


@dataclass(frozen=True)
class BitFlips:
    """Which flips of single bits hurt most, each measured on the integer model.

    Attributes:
        images: that they were measured on.
        bits: how many bits of weights can flip into a file that a reader takes.
        tried: how many of the flips with the greatest guess were measured, of `of` that were to be.
        top1: the accuracy on these images without a flip, in percent; None without labels.
        flips: the worst that were found, worst first.
        random: how many flips drawn at random were measured.
        random_mean, random_worst: percentage of images that these gave another class; None where none was measured.
    """

    images: int
    bits: int
    tried: int
    of: int
    top1: float | None
    flips: tuple[BitFlip, ...]
    random: int
    random_mean: float | None
    random_worst: float | None
