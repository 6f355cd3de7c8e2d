"""Recipes: which layer gets which schemes, the short forms, TOML there and back, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from bitwright.errors import RecipeError
from bitwright.recipe import Recipe, Rule

FULL = Recipe(
    name="full",
    weights="int4",
    activations="uint5",
    range="percentile",
    first=Rule(weights="int8"),
    last=Rule(weights="int7", activations="uint8", group=0),
    layers=(
        Rule("layer3.*", weights="int3"),
        Rule("layer3.1", activations="uint2"),
        Rule("*.norm"),
        Rule("layer4.*", weights="binary", inputs="1bit"),
        Rule("layer4.1", inputs="bit"),
        Rule("head.*", group=64),
        Rule("layer5.*", range="octav", without=("bias_correct",)),
        Rule("layer5.1", range="minmax", without=("adaround",)),
    ),
    group=32,
)


def every_short_form() -> list[str]:
    return [f"w{w}a{a}" for w in range(2, 9) for a in range(2, 9)]


@pytest.mark.parametrize("short", every_short_form())
def test_short_forms(short: str) -> None:
    recipe = Recipe.parse(short)
    weights, activations = f"int{short[1]}", f"uint{short[3]}"
    assert recipe.name == short
    assert recipe.schemes("middle") == (weights, activations)
    assert recipe.schemes("stem", first=True) == ("int8", activations)
    assert recipe.schemes("fc", last=True) == ("int8", "uint8")
    assert recipe.schemes("only", first=True, last=True) == ("int8", "uint8")


@pytest.mark.parametrize(
    "spec", ["w0a1", "w9a8", "w8", "a8", "W8A8", "w8a8 ", "w8a8\n", "w08a8", "", "int8", "w8at", "w1.6a8"]
)
def test_what_is_no_short_form_is_refused(spec: str) -> None:
    with pytest.raises(RecipeError, match="expected a recipe like w8a8"):
        Recipe.parse(spec)


@pytest.mark.parametrize(
    ("short", "weights", "inputs"),
    [
        ("w1a1", "binary", "1bit"),
        ("w1a2", "binary", "uint2"),
        ("w1a8", "binary", None),
        ("wta1", "ternary", "1bit"),
        ("wta8", "ternary", None),
        ("w4a1", "int4", "1bit"),
        ("w8a1", "int8", "1bit"),
    ],
)
def test_short_forms_of_few_bits_keep_uint8_between_the_layers(short: str, weights: str, inputs: str | None) -> None:
    recipe = Recipe.parse(short)
    assert recipe.schemes("middle") == (weights, "uint8")
    assert recipe.inputs_of("middle") == inputs
    for side in ("first", "last"):
        assert recipe.schemes("it", **{side: True}) == ("int8", "uint8")
        assert recipe.inputs_of("it", **{side: True}) == (inputs and "uint8")


def test_later_rules_win_over_earlier_ones() -> None:
    assert FULL.schemes("layer1.0") == ("int4", "uint5")
    assert FULL.schemes("layer3.0") == ("int3", "uint5")
    assert FULL.schemes("layer3.1") == ("int3", "uint2")
    assert FULL.schemes("layer3.0", first=True) == ("int3", "uint5")
    assert FULL.schemes("stem", first=True) == ("int8", "uint5")
    assert FULL.schemes("stem", first=True, last=True) == ("int7", "uint8")
    assert FULL.schemes("x.norm", last=True) == ("int7", "uint8")
    assert FULL.schemes("layer4.0") == ("binary", "uint5")
    assert [FULL.inputs_of(name) for name in ("layer3.0", "layer4.0", "layer4.1")] == [None, "1bit", "bit"]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "a.b", True),
        ("a", "a.b", False),
        ("a.*", "a.b.c", True),
        ("A.*", "a.b", False),
        ("layer[12].?", "layer2.0", True),
        ("layer[12].?", "layer3.0", False),
        ("conv", "conv_1", False),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    recipe = Recipe(layers=(Rule(pattern, weights="int2"),))
    assert (recipe.schemes(name)[0] == "int2") == matches


def test_groups_of_inputs() -> None:
    assert Recipe().groups("fc", 100) == 1
    assert [FULL.groups(name, 128) for name in ("layer1", "head.1")] == [4, 2]
    assert FULL.groups("fc", 128, last=True) == 1
    with pytest.raises(RecipeError, match=r"layer 'fc' has 100 inputs, .* group = 0"):
        FULL.groups("fc", 100)


def test_ranges_of_single_layers_and_corrections_that_leave_them_alone() -> None:
    names = ("layer1", "layer5.0", "layer5.1")
    assert [FULL.range_of(name) for name in names] == [None, "octav", "minmax"]
    assert [FULL.without(name) for name in names] == [set(), {"bias_correct"}, {"bias_correct", "adaround"}]
    ends = Recipe(first=Rule(range="minmax"), last=Rule(without=("bias_correct",)))
    assert (ends.range_of("a", first=True), ends.range_of("a", last=True)) == ("minmax", None)
    assert (ends.without("a", first=True), ends.without("a", last=True)) == (set(), {"bias_correct"})


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    Recipe(layers=(Rule("layer*"),)).check_matches(["layer1", "fc"])
    with pytest.raises(RecipeError, match=r"'layr\*' matches no layer; layers: layer1, fc"):
        Recipe(layers=(Rule("layer*"), Rule("layr*"))).check_matches(["layer1", "fc"])


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe", [FULL, Recipe(), *map(Recipe.parse, ["w8a8", "w4a8", "w8a4", "w2a3", "w1a1", "wta2"])]
)
def test_json_and_toml_there_and_back(recipe: Recipe, tmp_path: Path) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe
    path = tmp_path / "other name.toml"
    path.write_text(recipe.to_toml(), "utf-8")
    assert Recipe.parse(path) == recipe
    assert Recipe.parse(str(path)) == recipe
    assert Recipe.parse(recipe) is recipe


def test_a_file_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('weights = "int6"\nlast = {weights = "int8"}\n[[layers]]\nmatch = "a*"\nactivations = "uint3"\n')
    recipe = Recipe.parse(path)
    assert recipe == Recipe(
        "mine", "int6", "uint8", last=Rule(weights="int8"), layers=(Rule("a*", activations="uint3"),)
    )


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "plain.toml").write_text("")
    assert Recipe.parse(tmp_path / "plain.toml") == Recipe(name="plain")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("weights = ")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.toml").mkdir()
    for name in ("bad", "binary", "folder", "none"):
        with pytest.raises(RecipeError, match=f"{name}.toml"):
            Recipe.parse(tmp_path / f"{name}.toml")


BAD: list[Any] = [
    [],
    "w8a8",
    None,
    {"weight": "int8"},
    {"weights": 8},
    {"weights": "uint8"},
    {"weights": "int9"},
    {"weights": None},
    {"weights": ["int8"]},
    {"activations": "int8"},
    {"activations": "ternary"},
    {"activations": "1bit"},
    {"inputs": "int8"},
    {"inputs": "ternary"},
    {"inputs": "2bit"},
    {"inputs": 1},
    {"group": -1},
    {"group": 32.0},
    {"group": "32"},
    {"group": True},
    {"last": {"group": [32]}},
    {"activations": "float32"},
    {"name": 3},
    {"range": 1},
    {"range": None},
    {"first": "int8"},
    {"first": {"match": "*"}},
    {"first": {"weights": "uint8"}},
    {"last": []},
    {"layers": {"match": "*"}},
    {"layers": ["*"]},
    {"layers": "layer"},
    {"layers": [{"pattern": "*"}]},
    {"layers": [{"match": "*", "weights": 4}]},
    {"layers": [{"match": "*", "activations": "int4"}]},
    {"layers": [{"match": 3, "weights": "int4"}]},
    {"layers": [{"match": "*", "range": 3}]},
    {"layers": [{"match": "*", "without": "bias_correct"}]},
    {"first": {"without": [3]}},
    {"layers": [{"match": None, "weights": "int4"}]},
    {"layers": [{"match": ["a", "b"], "weights": "int4"}]},
    {1: "int8"},
]


@pytest.mark.parametrize("record", BAD, ids=str)
def test_malformed_records_are_refused(record: Any) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(record)


@pytest.mark.parametrize("spec", [None, 3, ["w8a8"]])
def test_what_is_no_recipe_is_refused(spec: Any) -> None:
    with pytest.raises(RecipeError, match=r"expected a recipe like w8a8, .* found"):
        Recipe.parse(spec)


def test_reading_does_not_change_the_record() -> None:
    record = {"layers": [{"match": "a", "weights": "int4"}], "first": {"weights": "int8"}}
    before = {"layers": [{"match": "a", "weights": "int4"}], "first": {"weights": "int8"}}
    Recipe.from_json(record)
    assert record == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wieghts = 'int4'", ["the recipe: unknown key 'wieghts'", "did you mean 'weights'?"]),
        ("weights = 'in4'", ["weights", "found 'in4'; did you mean 'int4'?"]),
        ("activations = 'unit4'", ["for activations", "found 'unit4'", "did you mean 'uint4'?"]),
        ("first = { weight = 'int8' }", ["[first]: unknown key 'weight'", "did you mean 'weights'?"]),
        ("[[layers]]\nmatch = 'a'\n[[layers]]\nmach = 'b'", ["[[layers]] number 2: unknown key 'mach'", "'match'?"]),
        ("[[layers]]\nweights = 'int4'", ["[[layers]] number 1: expected 'match'", "'*' for all layers"]),
        (
            "[[layers]]\nmatch = 'a'\ninputs = 'unt4'",
            ["[[layers]] number 1: expected a scheme for inputs", "did you mean 'uint4'?"],
        ),
    ],
)
def test_a_typo_in_a_file_names_the_file_the_key_and_the_near_one(tmp_path: Path, text: str, said: list[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        Recipe.parse(path)
    for part in (f"{path}: ", *said):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("range = 'percentle'", ["recipe 'mine'", "unknown range 'percentle'", "did you mean 'percentile'?"]),
        ("algorithms = ['adarond']", ["recipe 'mine'", "unknown algorithm 'adarond'", "did you mean 'adaround'?"]),
        ("[[layers]]\nmatch = 'layer1.conv'\ngroup = 8", ["rule for 'layer1.conv' has group = 8", "linear layers: "]),
        ("first = { group = 8 }", ["rule for first has group = 8", "no linear layer"]),
        ("[[layers]]\nmatch = 'layer1.conf'", ["'layer1.conf' matches no layer", "did you mean 'layer1.conv'?"]),
    ],
)
def test_a_typo_in_a_name_is_found_by_prepare(tmp_path: Path, text: str, said: list[str]) -> None:
    torch = pytest.importorskip("torch")
    import bitwright as bw

    path = tmp_path / "mine.toml"
    path.write_text(text)
    model = torch.nn.Sequential()
    model.layer1 = torch.nn.Sequential()
    model.layer1.conv = torch.nn.Conv2d(3, 2, 4)
    model.flat = torch.nn.Flatten()
    with pytest.raises(RecipeError) as error:
        bw.prepare(model, preprocess=bw.Preprocess(size=4), recipe=path)
    for part in said:
        assert part in str(error.value)


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5_000, "{"])
def test_toml_that_python_cannot_read_is_told(value: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(f"weights = {value}")
    with pytest.raises(RecipeError, match="is not TOML"):
        Recipe.parse(path)
