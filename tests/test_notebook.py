"""What a notebook shows of an artifact and of a recipe: small tables in which every name is text."""

from html.parser import HTMLParser

import numpy as np
import pytest

from bitwright.artifact import Artifact
from bitwright.graph import Graph, Node, Value
from bitwright.images.preprocess import Preprocess
from bitwright.notebook import html_table
from bitwright.qtensor import QType
from bitwright.recipe import Recipe, Rule

HOSTILE = "<script>alert(1)</script>"


class Parsed(HTMLParser):
    """The tags of some HTML, and its rows as pairs of texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data

    @property
    def rows(self) -> dict[str, str]:
        return dict(zip(self.cells[::2], self.cells[1::2], strict=True))


def parsed(html: str) -> dict[str, str]:
    found = Parsed(html)
    assert found.tags == {"table", "caption", "b", "tbody", "tr", "th", "td"}
    return found.rows


@pytest.fixture
def artifact() -> Artifact:
    codes = QType("uint8", 1 / 255, 0)
    image = QType("uint8", (1 / 255,) * 3, (0, 0, 0), (0.0, 0.0, 0.0))
    nodes = (
        Node("codes", "table", ("input",), {}, {"table": np.stack([np.arange(256, dtype=np.uint8)] * 3)}),
        Node("mean", "global_avg_pool2d", ("codes",), {}, {"m": np.array([1 / 16], np.float32)}),
        Node("flat", "reshape", ("mean",), {"shape": (3,)}),
        Node("logits", "dequantize", ("flat",), {}, {"m": np.array([1 / 255], np.float32)}),
    )
    shapes = {"codes": (3, 4, 4), "mean": (3, 1, 1), "flat": (3,)}
    values = {"input": Value((3, 4, 4), image), "logits": Value((3,))}
    values |= {name: Value(shape, codes) for name, shape in shapes.items()}
    provenance = {"recipe": {"name": HOSTILE}}
    return Artifact(Graph(nodes, values, "logits"), Preprocess(size=4), (HOSTILE, "b&c", '"d"'), provenance)


def test_an_artifact_says_what_it_is(artifact: Artifact):
    assert parsed(artifact._repr_html_()) == {
        "image": "4x4x3",
        "classes": f'{HOSTILE}, b&c, "d"',
        "layers": "4",
        "recipe": HOSTILE,
        "bytes": f"{len(artifact.data):,}",
        "sha256": artifact.digest,
    }
    assert parsed(artifact.with_classes(None)._repr_html_())["classes"] == "3, without names"


def test_weights_are_counted_by_scheme(quantized: Artifact):
    weights = sum("weights" in node.attrs for node in quantized.graph.nodes)
    assert weights > 0
    assert parsed(quantized._repr_html_())["weights"] == f"{weights} int8"


@pytest.fixture(scope="module")
def quantized() -> Artifact:
    nn = pytest.importorskip("torch").nn
    from bitwright.quantization import quantize

    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), np.uint8)
    return quantize(net, images, preprocess=Preprocess(size=4))


def test_a_recipe_says_what_is_set():
    recipe = Recipe(
        HOSTILE, algorithms=(), first=Rule(weights="int8"), layers=(Rule("<b>*", weights="int4"), Rule("c"))
    )
    assert HOSTILE not in recipe._repr_html_()
    assert parsed(recipe._repr_html_()) == {
        "weights": "int8",
        "activations": "uint8",
        "range": "mse",
        "algorithms": "none",
        "first": "weights int8",
        "layers <b>*": "weights int4",
        "layers c": "",
    }
    assert parsed(Recipe.parse("w4a8")._repr_html_())["algorithms"] == "equalize, adaround"


def test_nothing_is_shown_of_what_is_none():
    assert parsed(html_table("a", [("b", None), ("<c>", 0)])) == {"<c>": "0"}
