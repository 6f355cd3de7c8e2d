"""What a recipe says of each layer is what its layer gets: schemes, ranges and corrections."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import bitwright
from bitwright.algorithms.ranges import RANGES
from bitwright.artifact import Artifact
from bitwright.errors import RecipeError
from bitwright.quantization import prepare
from bitwright.recipe import Recipe, Rule
from tests.test_quantization import IMAGES, PREPROCESS, make, net


def schemes(made: Artifact) -> dict[str, tuple[str | None, str]]:
    """(scheme of the weights, scheme of the codes written) of each node."""
    types = {name: "float32" if v.type is None else v.type.scheme for name, v in made.graph.values.items()}
    return {node.name: (node.attrs.get("weights"), types[node.name]) for node in made.graph.nodes}


def test_short_forms_keep_the_ends_at_eight_bits() -> None:
    found = schemes(make(IMAGES[:3], recipe="w3a4"))
    assert found["0"] == ("int8", "uint8")  # nothing multiplies it: a function of one number comes next
    assert found["2"] == found["5"] == ("int3", "uint4")
    assert found["8"] == (None, "uint8")
    assert found["10"] == ("int8", "float32")


def test_a_recipe_for_each_layer() -> None:
    recipe = Recipe(
        weights="int6",
        activations="uint7",
        first=Rule(weights="int5"),
        last=Rule(weights="int4", activations="uint3"),
        layers=(Rule("2", weights="int2", activations="uint2"), Rule("[25]", activations="uint5")),
    )
    found = schemes(make(IMAGES[:3], recipe=recipe))
    assert [found[name] for name in ("0", "1", "2", "5", "8", "10")] == [
        ("int5", "uint8"),
        (None, "uint7"),
        ("int2", "uint5"),
        ("int6", "uint5"),
        (None, "uint3"),
        ("int4", "float32"),
    ]
    with pytest.raises(RecipeError, match=r"'layer\*' matches no layer"):
        make(IMAGES[:3], recipe=Recipe(layers=(Rule("layer*"),)))


def test_a_layer_may_have_a_range_of_its_own() -> None:
    """Layer 2's weights and codes are those of a model where everything has that range; all other ranges are the usual ones."""
    plain, other = (make(recipe=Recipe(range=name, algorithms=())) for name in ("percentile", "minmax"))
    mixed = make(recipe=Recipe(range="percentile", algorithms=(), layers=(Rule("2", range="minmax"),)))
    types, usual, wanted = ({n: v.type for n, v in a.graph.values.items()} for a in (mixed, plain, other))
    assert types["2"] == wanted["2"] != usual["2"]
    assert {n for n, type_ in types.items() if type_ != usual[n]} == {"2"}
    narrow = {"weights": "int3", "algorithms": ()}
    weights = [
        make(recipe=Recipe.from_json({**narrow, "range": range_, "layers": rules})).graph["2"].tensors["weight"]
        for range_, rules in (("mse", [{"match": "2", "range": "minmax"}]), ("minmax", []), ("mse", []))
    ]
    assert (weights[0] == weights[1]).all()
    assert (weights[0] != weights[2]).any()


def test_codes_that_are_changed_for_a_reader_have_the_range_of_their_producer() -> None:
    """The pool reads layer 6's codes as they are; the last layer reads what is behind it in another scheme."""
    recipe = Recipe(
        algorithms=(), layers=(Rule("10", inputs="uint3"), Rule("2", inputs="uint4"), Rule("*", range="octav"))
    )
    prepared = prepare(net(), preprocess=PREPROCESS, recipe=recipe)
    names = list(dict.fromkeys(prepared.owner.values()))
    assert {prepared.calibrator.range_for_codes(name, RANGES["mse"]).name for name in names} == {"octav"}


def test_a_correction_may_leave_a_layer_alone() -> None:
    def biases(*rules: Rule) -> list[np.ndarray]:
        recipe = Recipe(weights="int4", algorithms=("bias_correct",), layers=rules)
        made = make(recipe=recipe, guard=False)
        return [made.graph[name].tensors["b"] for name in ("2", "5", "10")]

    plain = [make(recipe=Recipe(weights="int4", algorithms=())).graph[name].tensors["b"] for name in ("2", "5", "10")]
    corrected, spared = biases(), biases(Rule("5", without=("bias_correct",)))
    assert [(a != b).any() for a, b in zip(corrected, plain, strict=True)] == [True] * 3
    assert (spared[1] == plain[1]).all()
    assert (spared[0] == corrected[0]).all()
    assert (spared[2] != plain[2]).any()
    rounded = Recipe(weights="int3", algorithms=("adaround",))
    nearest = replace(rounded, algorithms=())
    alone = replace(rounded, layers=(Rule("5", without=("adaround",)),))
    a, b, c = (
        [make(IMAGES[:8], recipe=r, guard=False).graph[name].tensors["weight"] for name in ("2", "5")]
        for r in (rounded, nearest, alone)
    )
    assert (a[1] != b[1]).any()
    assert (c[0] == a[0]).all()
    assert (c[1] == b[1]).all()


@pytest.mark.parametrize(
    ("algorithms", "rule", "said"),
    [
        (("bias_correct",), Rule("2", range="bst"), "unknown range 'bst'"),
        (
            ("bias_correct",),
            Rule("2", without=("bias",)),
            "'without' to name algorithms of the recipe, which are bias_c",
        ),
        (("equalize",), Rule("2", without=("equalize",)), "'equalize' changes neighbouring layers together"),
    ],
)
def test_rules_that_make_no_sense_are_refused(algorithms: tuple[str, ...], rule: Rule, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        prepare(net(), preprocess=PREPROCESS, recipe=Recipe(algorithms=algorithms, layers=(rule,)))


def test_fewer_bits_take_fewer_bytes_and_cost_accuracy() -> None:
    with torch.no_grad():
        expected = net()(torch.from_numpy(PREPROCESS.normalise(IMAGES))).numpy()
    errors, sizes = [], []
    for recipe in ("w8a8", "w4a4", "w2a2"):
        made = make(recipe=recipe)
        errors.append(float(np.abs(bitwright.Engine(made)(IMAGES) - expected).mean()))
        sizes.append(len(made.data))
    assert errors == sorted(errors)
    assert errors[0] < 0.03 * expected.std()
    assert sizes == sorted(sizes, reverse=True)
