"""A recipe: plain data that says which layers get which schemes, and which algorithms choose the numbers.

Short form: `w4a8` is int4 weights and uint8 activations. Below 8 bits it leaves the first and the last layer's weights,
and the codes that the last layer reads, at 8 bits, as the literature does, as well as what nothing multiplies (norms or
functions of one number alone read it), and `adaround` rounds the weights. `w1` is `binary` weights, `wt` `ternary` ones.
With those, and with `a1`, activations stay uint8 (residual paths, too) and convolutions and linear layers read fewer bits:
`w1a2` reads uint2, `w1a1` reads `bit` {0, 1} behind a relu and `binary` {-1, +1} where a value may be negative.
A recipe file says anything else:

    weights = "int4"
    activations = "uint8"
    range = "mse"
    algorithms = ["equalize", "bias_correct"]
    training = "lsq"
    first = { weights = "int8" }
    last = { weights = "int8", activations = "uint8" }
    [[layers]]
    match = "layer3.*.conv2"
    weights = "int3"
    inputs = "uint4"
    [[layers]]
    match = "classifier.*"
    weights = "int4"
    group = 64
    [[layers]]
    match = "layer1.0.conv1"
    range = "percentile"
    without = ["bias_correct"]
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bitwright.errors import MissingExtraError, RecipeError, did_you_mean
from bitwright.files import read_bytes
from bitwright.notebook import html_table
from bitwright.recipe_rule import ONE_BIT, RULE_KEYS, SCHEME_KEYS, UNCHANGED, Rule, expect_group, expect_schemes

__all__ = ["ONE_BIT", "Recipe", "Rule"]


@dataclass(frozen=True)
class Recipe:
    """Schemes for every layer. Later wins over earlier: the default, `first` and `last`, then each of `layers` in turn.

    Attributes:
        name: of the recipe, for people.
        weights: the scheme of the weights.
        activations: the scheme of the codes that layers write. What nothing multiplies (norms and functions of one
            number alone read it) has 8 bits all the same, unless a rule names that layer's.
        inputs: the scheme in which convolutions and linear layers read their codes; None: as their producer writes
            them.
        group: how many neighbouring inputs of a linear layer share a scale; None or 0: all of them.
        range: the range algorithm.
        algorithms: the corrections, in order.
        training: the training algorithm, for `train` and `prepare_qat`.
        first: what is different for the first layer with weights.
        last: what is different for the last layer with weights.
        layers: what is different for layers whose names match.

    Raises:
        RecipeError: a scheme or a group makes no sense.
    """

    name: str = "w8a8"
    weights: str = "int8"
    activations: str = "uint8"
    inputs: str | None = None
    group: int | None = None
    range: str = "mse"
    algorithms: tuple[str, ...] = ("equalize", "bias_correct")
    training: str | None = None
    first: Rule = UNCHANGED
    last: Rule = UNCHANGED
    layers: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        expect_schemes(self.weights, self.activations, self.inputs)
        expect_group(self.group)

    def schemes(self, layer: str, *, first: bool = False, last: bool = False) -> tuple[str, str]:
        """(weights, activations) for the layer called `layer`."""
        weights, activations = self.weights, self.activations
        for rule in self._rules(layer, first, last):
            weights, activations = rule.weights or weights, rule.activations or activations
        return weights, activations

    def names_activations(self, layer: str, *, first: bool = False, last: bool = False) -> bool:
        """Whether a rule says in which scheme the layer called `layer` writes its codes."""
        return any(rule.activations for rule in self._rules(layer, first, last))

    def inputs_of(self, layer: str, *, first: bool = False, last: bool = False) -> str | None:
        """The scheme in which the layer called `layer` reads its codes; None: as their producer writes them."""
        inputs = self.inputs
        for rule in self._rules(layer, first, last):
            inputs = rule.inputs or inputs
        return inputs

    def groups(self, layer: str, inputs: int, *, first: bool = False, last: bool = False) -> int:
        """How many groups of inputs with a scale of their own the linear layer called `layer` has, of `inputs` in all.

        RecipeError where the group does not divide them.
        """
        group = self.group
        for rule in self._rules(layer, first, last):
            group = group if rule.group is None else rule.group
        if not group:
            return 1
        if inputs % group:
            raise RecipeError(
                f"layer {layer!r} has {inputs} inputs, which groups of {group} do not divide; "
                "give it another group in [[layers]], or group = 0 for one scale per channel"
            )
        return inputs // group

    def range_of(self, layer: str, *, first: bool = False, last: bool = False) -> str | None:
        """The range algorithm that a rule gives the layer called `layer`; None where none does, so that the model's counts."""
        found = None
        for rule in self._rules(layer, first, last):
            found = rule.range or found
        return found

    def without(self, layer: str, *, first: bool = False, last: bool = False) -> set[str]:
        """The corrections that leave the layer called `layer` alone."""
        return {name for rule in self._rules(layer, first, last) for name in rule.without}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules: of the first layer, of the last, and of layers by name."""
        return (self.first, self.last, *self.layers)

    def _rules(self, layer: str, first: bool, last: bool) -> list[Rule]:
        matching = [rule for rule in self.layers if fnmatchcase(layer, rule.match)]
        return [self.first] * first + [self.last] * last + matching

    def check_matches(self, layers: Iterable[str]) -> None:
        """Raise RecipeError if a rule matches no layer: it is misspelt, or meant for another model."""
        names = list(layers)
        for rule in self.layers:
            if not any(fnmatchcase(name, rule.match) for name in names):
                near = did_you_mean(rule.match, names)
                known = ", ".join(names)
                raise RecipeError(f"the recipe's pattern {rule.match!r} matches no layer; layers: {known}{near}")

    def check_groups(self, linear: Mapping[str, Mapping[str, bool]]) -> None:
        """Raise RecipeError if a rule gives groups of inputs, but to no linear layer; `linear`: the sides of each, by name."""
        used = {rule for name, sides in linear.items() for rule in self._rules(name, **sides)}
        for rule, name in zip(self.rules, ("first", "last", *(repr(rule.match) for rule in self.layers)), strict=True):
            if rule.group and rule not in used:
                raise RecipeError(
                    f"the recipe's rule for {name} has group = {rule.group}, but no linear layer, and only these have groups "
                    f"of inputs; linear layers: {', '.join(linear) or 'none'}"
                )
        if self.group and not linear:
            raise RecipeError(
                f"the recipe has group = {self.group}, but only linear layers have groups, and there is none"
            )

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain data, without what is not set."""
        record = asdict(self)
        record["first"], record["last"] = _set_only(record["first"]), _set_only(record["last"])
        record["layers"] = [{"match": rule["match"], **_set_only(rule)} for rule in record["layers"]]
        record["algorithms"] = list(record["algorithms"])
        return {key: value for key, value in record.items() if value not in (None, {}, []) or key == "algorithms"}

    @classmethod
    def from_json(cls, record: Any) -> "Recipe":
        """Read plain data, strictly; RecipeError says what is wrong with it."""
        record = dict(_table(record, "the recipe", set(cls.__dataclass_fields__)))
        rules = record.get("layers", [])
        if not isinstance(rules, list | tuple):
            raise RecipeError(f"expected 'layers' to be a list of tables, found {rules!r:.100}")
        keys = {"match", *RULE_KEYS}
        record["layers"] = tuple(_rule(rule, f"[[layers]] number {i}", keys) for i, rule in enumerate(rules, 1))
        names = record.get("algorithms", [])
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise RecipeError(f"expected 'algorithms' to be a list of names, found {names!r:.100}")
        if "algorithms" in record:
            record["algorithms"] = tuple(names)
        for side in ("first", "last"):
            record[side] = _rule(record.get(side, {}), f"[{side}]", RULE_KEYS)
        for key in ("name", "range", "training", *SCHEME_KEYS):
            if not isinstance(record.get(key, ""), str):
                raise RecipeError(f"expected {key!r} to be a string, found {record[key]!r:.100}")
        return cls(**record)

    def _repr_html_(self) -> str:
        """What a notebook shows: what is set, a line for each layer's rule."""
        record = self.to_json()
        rules = [(f"layers {rule.pop('match')}", _settings(rule)) for rule in record.pop("layers", [])]
        pairs = [(key, _settings(value)) for key, value in record.items() if key != "name"]
        return html_table(f"bitwright recipe {self.name}", [*pairs, *rules])

    def to_toml(self) -> str:
        """The recipe as TOML; needs tomli-w (extra `torch`)."""
        try:
            import tomli_w
        except ImportError as error:
            raise MissingExtraError("tomli_w", "torch") from error
        return tomli_w.dumps(self.to_json())

    @classmethod
    def parse(cls, spec: "str | os.PathLike[str] | Recipe") -> "Recipe":
        """A recipe from its short form (`w4a8`), from a TOML file, or itself."""
        if isinstance(spec, Recipe):
            return spec
        if not isinstance(spec, str | os.PathLike):
            raise RecipeError(f"expected a recipe like w8a8, the path of a .toml file or a Recipe, found {spec!r:.100}")
        short = re.fullmatch(r"w([1-8t])a([1-8])", os.fspath(spec))
        if short:
            return _short(os.fspath(spec), short[1], int(short[2]))
        if not os.fspath(spec).endswith(".toml"):
            raise RecipeError(
                "expected a recipe like w8a8, with 1 to 8 bits each (wt: ternary weights), or a .toml file; "
                f"found {os.fspath(spec)!r}"
            )
        try:
            record = tomllib.loads(read_bytes(spec).decode())
        except OSError as error:
            raise RecipeError(f"cannot read {os.fspath(spec)}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:  # RecursionError: brackets too deep
            raise RecipeError(f"{os.fspath(spec)} is not TOML: {error}") from error
        try:
            return cls.from_json({"name": Path(spec).stem, **record})
        except RecipeError as error:
            raise RecipeError(f"{os.fspath(spec)}: {error}") from error


def _settings(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)


def _short(name: str, weight_bits: str, activation_bits: int) -> Recipe:
    weights = {"1": "binary", "t": "ternary"}.get(weight_bits, f"int{weight_bits}")
    outer = Rule(weights="int8" if weights != "int8" else None)
    if weights.startswith("int") and activation_bits > 1:
        last = Rule(weights=outer.weights, activations="uint8" if activation_bits < 8 else None)
        algorithms = Recipe.algorithms if weights == "int8" else ("equalize", "adaround")
        return Recipe(name, weights, f"uint{activation_bits}", algorithms=algorithms, first=outer, last=last)
    reads = ONE_BIT if activation_bits == 1 else f"uint{activation_bits}" if activation_bits < 8 else None
    outer = Rule(weights=outer.weights, inputs="uint8" if reads else None)
    rounding = "adaround" if weights == "ternary" else "bias_correct"  # nothing but training saves binary weights
    return Recipe(name, weights, "uint8", reads, algorithms=(rounding,), first=outer, last=outer)


def _table(value: Any, where: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: expected a table with keys among {sorted(keys)}, found {value!r:.200}")
    for key in value:
        if key not in keys:
            known = ", ".join(sorted(keys))
            raise RecipeError(f"{where}: unknown key {key!r:.100}; known keys: {known}{did_you_mean(key, keys)}")
    return value


def _rule(value: Any, where: str, keys: set[str]) -> Rule:
    table = _table(value, where, keys)
    if "match" in keys and "match" not in table:
        raise RecipeError(f"{where}: expected 'match', a pattern such as 'layer1.*' ('*' for all layers), found none")
    try:
        return Rule(**table)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error


def _set_only(rule: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in rule.items() if key != "match" and value not in (None, ())}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}
