"""A rule of a recipe: what is different for some layers; and which schemes and groups make sense."""

from dataclasses import dataclass
from typing import Any

from bitwright.errors import RecipeError, did_you_mean
from bitwright.schemes import SCHEMES

SCHEME_KEYS = {"weights", "activations", "inputs"}
RULE_KEYS = SCHEME_KEYS | {"group", "range", "without"}
ONE_BIT = "1bit"
"""As `inputs`: `bit` where the value is never negative (behind a relu), else `binary`; decided by `prepare` from the graph."""


def expect_schemes(weights: Any, activations: Any, inputs: Any) -> None:
    for key, found in {"weights": weights, "activations": activations, "inputs": inputs}.items():
        if found is None or (key == "inputs" and found == ONE_BIT) or _is_scheme(found, for_weights=key == "weights"):
            continue
        usable = SCHEMES.usable().items()
        names = [name for name, scheme in usable if (scheme.weights if key == "weights" else scheme.activations)]
        names = [ONE_BIT, *names] if key == "inputs" else names
        raise RecipeError(
            f"expected a scheme for {key}, one of {', '.join(names)}; found {found!r:.100}{did_you_mean(found, names)}"
        )


def _is_scheme(name: Any, *, for_weights: bool) -> bool:
    if not isinstance(name, str) or name not in SCHEMES:
        return False
    scheme = SCHEMES[name]
    return scheme.weights if for_weights else scheme.activations


def expect_group(group: Any) -> None:
    if group is not None and not (type(group) is int and 0 <= group <= 2**20):
        raise RecipeError(
            f"expected 'group' to be a number of inputs such as 32, 64 or 128, or 0; found {group!r:.100}"
        )


@dataclass(frozen=True)
class Rule:
    """Schemes for the layers whose name matches; None leaves what stood before.

    Attributes:
        match: a pattern for the layer's module path, such as "layer1.*".
        weights: the scheme of the weights.
        activations: the scheme of the codes that a layer writes; for the last layer, which writes float32, of those it
            reads.
        inputs: the scheme in which a convolution or linear layer reads its codes, whatever their producer writes for
            others.
        group: how many neighbouring inputs of a linear layer's channel share a scale; 0: all of them, as for
            convolutions.
        range: the range algorithm for the layer's weights and for the codes that follow its rule (see `activations`).
        without: the recipe's corrections that leave this layer's weights and bias as they are.
    """

    match: str = "*"
    weights: str | None = None
    activations: str | None = None
    inputs: str | None = None
    group: int | None = None
    range: str | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.match, str):
            raise RecipeError(f"expected 'match' to be a pattern like 'layer1.*', found {self.match!r:.100}")
        if self.range is not None and not isinstance(self.range, str):
            raise RecipeError(f"expected 'range' to be the name of a range algorithm, found {self.range!r:.100}")
        if not isinstance(self.without, list | tuple) or not all(isinstance(name, str) for name in self.without):
            raise RecipeError(f"expected 'without' to be a list of names of corrections, found {self.without!r:.100}")
        object.__setattr__(self, "without", tuple(self.without))
        expect_schemes(self.weights, self.activations, self.inputs)
        expect_group(self.group)


UNCHANGED = Rule()
"""A rule that changes nothing."""
