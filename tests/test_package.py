"""The package from outside: its names, its version, what importing it pulls in, and what it does without its extras."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import bitwright as bw
from bitwright.graph import Graph, Node, Value
from bitwright.qtensor import QType
from tests.conftest import REPOSITORY

BLOCK = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""
HEAVY = ("click", "rich", "sklearn", "timm", "torch", "torchvision")


def python(code: str, blocked: tuple[str, ...] = (), *arguments: str) -> str:
    """Run code in a process of its own, in which the `blocked` packages cannot be imported; returns its stdout."""
    program = BLOCK.format(blocked=blocked) + code
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def artifact_path(tmp_path) -> Path:
    """An artifact made by hand: the mean of each colour of a 4x4 picture, times ten, as the logits of three classes."""
    pre = bw.Preprocess(size=4)
    image = QType("uint8", (1 / 255,) * 3, (0, 0, 0), (0.0, 0.0, 0.0))
    codes = QType("uint8", 1 / 255, 0)
    m = np.array([10 / 255], np.float32)
    mean = np.array([1 / 16], np.float32)
    same = np.arange(256, dtype=np.uint8)
    nodes = (
        Node("codes", "table", ("input",), {}, {"table": np.stack([same] * 3)}),
        Node("mean", "global_avg_pool2d", ("codes",), {}, {"m": mean}),
        Node("flat", "reshape", ("mean",), {"shape": (3,)}),
        Node("logits", "dequantize", ("flat",), {}, {"m": m}),
    )
    shapes = {"codes": (3, 4, 4), "mean": (3, 1, 1), "flat": (3,)}
    values = {"input": Value((3, 4, 4), image), "logits": Value((3,))}
    values |= {name: Value(shape, codes) for name, shape in shapes.items()}
    path = tmp_path / "colours.bw.safetensors"
    bw.Artifact(Graph(nodes, values, "logits"), pre, ("red", "green", "blue")).save(path)
    return path


def test_import_pulls_in_nothing_heavy():
    loaded = python("import bitwright; print(*sys.modules)").split()
    assert "bitwright" in loaded
    assert not set(HEAVY) & set(loaded)


def test_an_artifact_runs_where_only_the_base_dependencies_are(artifact_path):
    code = """
import numpy as np
import bitwright as bw

artifact = bw.load(sys.argv[1])
pixels = np.zeros((1, 4, 4, 3), np.uint8)
pixels[..., 1] = 255
logits = bw.Engine(artifact)(pixels)
print(artifact.classes[logits.argmax()], logits.max())
"""
    assert python(code, HEAVY, str(artifact_path)) == "green 10.0"


def test_an_artifact_classifies_files_where_only_the_base_dependencies_are(artifact_path, tmp_path):
    code = """
from PIL import Image
import bitwright as bw

Image.new("RGB", (9, 7), "blue").save(sys.argv[2])
artifact = bw.load(sys.argv[1])
print(artifact.classes[bw.Engine(artifact)(sys.argv[2]).argmax()])
"""
    assert python(code, HEAVY, str(artifact_path), str(tmp_path / "picture.png")) == "blue"


@pytest.mark.parametrize("name", ["quantize", "prepare", "calibrate", "convert"])
def test_without_torch_there_is_an_install_hint(name):
    code = f"""
import bitwright as bw
try:
    bw.{name}
except bw.errors.MissingExtraError as error:
    print(error)
"""
    message = python("import bitwright.errors\n" + code, HEAVY)
    assert "'torch'" in message
    assert "pip install 'bitwright[torch]'" in message


def test_without_scikit_learn_there_is_an_install_hint():
    code = """
import bitwright as bw
import bitwright.errors
try:
    bw.open_source("digits")
except bw.errors.MissingExtraError as error:
    print(error)
"""
    assert "pip install 'bitwright[digits]'" in python(code, HEAVY)


@pytest.mark.parametrize("name", bw.__all__)
def test_every_public_name_is_what_it_says(name):
    pytest.importorskip("torch")
    for _ in range(2):  # a submodule of the same name must not take its place once it is imported
        found = getattr(bw, name)
        assert callable(found)
        assert found.__name__ == name


def test_public_names_are_listed_once_and_in_order():
    assert list(bw.__all__) == sorted(set(bw.__all__))


def test_no_submodule_has_the_name_of_a_function():
    """Importing such a submodule would put it in the function's place."""
    modules = {path.stem for folder in bw.__path__ for path in Path(folder).iterdir()}
    assert "artifact" in modules
    assert not modules & set(bw.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="quantise"):
        bw.quantise  # noqa: B018


def test_the_package_is_marked_as_typed():
    assert files("bitwright").joinpath("py.typed").is_file()


def test_version_is_that_of_the_project():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == "bitwright"
    assert project["version"] == bw.__version__


def test_every_extra_that_a_message_names_exists():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"torch", "torchvision", "timm", "digits", "dev", "bench"} <= set(project["optional-dependencies"])


def test_the_command_is_installed():
    try:
        entry_points = importlib.metadata.distribution("bitwright").entry_points
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("bitwright is on the path, but not installed")
    assert [(e.name, e.value) for e in entry_points] == [("bitwright", "bitwright.cli:main")]


@pytest.mark.parametrize("name", ["search", "sensitivity", "quantize_within", "train", "prepare_qat"])
def test_without_torch_budgets_and_training_say_what_to_install(name):
    code = f"""
import bitwright as bw
try:
    bw.{name}
except ImportError as error:
    print(type(error).__name__, error)
"""
    message = python(code, HEAVY)
    assert message.startswith("MissingExtraError")
    assert "pip install 'bitwright[torch]'" in message


DEVELOPMENT = (
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "digits",
    "report",
    "peers",
    "serve",
    "signing",
    "ray",
    "dev",
    "docs",
)


@pytest.mark.parametrize(
    ("file", "of", "without"),
    [
        ("requirements.lock", ("serve", "signing"), set()),
        ("requirements-dev.lock", DEVELOPMENT, {"torch", "torchvision", "bitwright"}),
    ],
)
def test_the_lock_files_have_hashes_and_the_versions_of_the_constraints(
    file: str, of: tuple[str, ...], without: set[str]
):
    pinned = dict(
        re.findall(r"^([\w.-]+)==([\w.]+)$", (REPOSITORY / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    )
    lock = (REPOSITORY / file).read_text("utf-8")
    found = dict(re.findall(r"^([\w.-]+)==([\w.]+) \\$", lock, re.MULTILINE))
    assert {name: found[name] for name in found.keys() & pinned.keys()} == {
        name: pinned[name] for name in found.keys() & pinned.keys()
    }
    assert without.isdisjoint(found)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *(package for extra in of for package in extras[extra])]
    assert {re.split(r"[>=\[]", each)[0] for each in needed} - without <= set(found)
    for part in re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in part, part[:60]
