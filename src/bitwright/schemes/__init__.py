"""The table of schemes: finite sets of representable values. A newcomer is one file and one line here."""

from bitwright.errors import RecipeError
from bitwright.schemes.affine import Affine
from bitwright.schemes.scheme import Scheme

SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        *(Affine(bits, signed=True) for bits in range(8, 1, -1)),
        *(Affine(bits, signed=False) for bits in range(8, 1, -1)),
    )
}


def scheme(name: str) -> Scheme:
    """Return the scheme called `name`; RecipeError if there is none."""
    try:
        return SCHEMES[name]
    except (KeyError, TypeError):
        raise RecipeError(f"unknown scheme {name!r}; known schemes: {', '.join(SCHEMES)}") from None


__all__ = ["SCHEMES", "Affine", "Scheme", "scheme"]
