"""The table of schemes: finite sets of representable values. A newcomer is one file and one line here."""

from bitwright.errors import RecipeError, did_you_mean
from bitwright.registry import Registry
from bitwright.schemes.affine import Affine
from bitwright.schemes.binary import Binary
from bitwright.schemes.bit import Bit
from bitwright.schemes.carried import Carried, check_carried
from bitwright.schemes.scheme import Scheme
from bitwright.schemes.ternary import Ternary

SCHEMES: Registry[Scheme] = Registry(
    "scheme",
    {
        scheme.name: scheme
        for scheme in (
            *(Affine(bits, signed=True) for bits in range(8, 1, -1)),
            Ternary(),
            *(Affine(bits, signed=False) for bits in range(8, 1, -1)),
            Binary(),
            Bit(),
        )
    },
    check_carried,
)
"""An artifact holds those of `SCHEMES.ours` alone."""


def scheme(name: str) -> Scheme:
    """Return the scheme called `name`; RecipeError if there is none."""
    try:
        return SCHEMES[name]
    except (KeyError, TypeError):
        known = ", ".join(SCHEMES)
        raise RecipeError(f"unknown scheme {name!r}; known schemes: {known}{did_you_mean(name, SCHEMES)}") from None


__all__ = ["SCHEMES", "Affine", "Binary", "Bit", "Carried", "Scheme", "Ternary", "scheme"]
