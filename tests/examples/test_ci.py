"""examples/ci: the gates can be read, and the script of the Action runs, quoted right, with and without its optional inputs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bitwright.cli.check import check
from bitwright.gates import Gates
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "examples" / "ci"
ACTION = (FOLDER / "action.yml").read_text("utf-8")


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.name)
def test_every_file_of_gates_can_be_read(file: Path):
    assert Gates.load(file).gates


def test_the_pre_commit_gates_need_nothing_but_the_file():
    assert not Gates.load(FOLDER / "gates-of-the-file.toml").needs


def test_every_option_that_the_examples_use_is_one():
    known = {option for parameter in check.params for option in parameter.opts}
    used = set(re.findall(r"--[a-z]+", ACTION.rpartition("run: |")[2]))
    used |= set(re.findall(r"--[a-z]+", (FOLDER / "pre-commit-config.yaml").read_text()))
    assert {"--gates", "--github", "--junit", "--model", "--baseline"} <= used <= known


def test_bitwright_comes_from_where_it_is_and_not_from_an_index_that_has_it_not():
    """A name alone would take whatever somebody else has put there."""
    action, workflow, hooks = (
        yaml.safe_load((FOLDER / name).read_text("utf-8"))
        for name in ("action.yml", "workflow.yml", "pre-commit-config.yaml")
    )
    assert action["inputs"]["install"]["required"]
    assert "default" not in action["inputs"]["install"]
    given = [step["with"]["install"] for step in workflow["jobs"]["gates"]["steps"] if "bitwright" in step["uses"]]
    assert len(given) == 1
    assert given[0].startswith("./")
    assert {hook["language"] for repo in hooks["repos"] for hook in repo["hooks"]} == {"system"}


def test_no_input_is_text_of_a_script():
    scripts = re.findall(r"run: \|?(.*?)(?=\n    - |\Z)", ACTION, re.DOTALL)
    assert len(scripts) == 2
    assert not [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("model", ["", "a model:$(touch evil)"])
def test_the_script_passes_each_input_as_one_argument(tmp_path: Path, model: str):
    (tmp_path / "bitwright").write_text(f"#!{sys.executable}\nimport sys\nprint('\\n'.join(sys.argv[1:]))\n")
    (tmp_path / "bitwright").chmod(0o755)
    script = ACTION.rpartition("run: |")[2]
    given = {"ARTIFACT": "my model.bw.safetensors", "GATES": "g.toml", "JUNIT": "j.xml", "MODEL": model, "DATA": "a b"}
    env = {**os.environ, **given, "WEIGHTS": "", "BASELINE": "", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-e", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = ["check", "my model.bw.safetensors", "--gates", "g.toml", "--github", "--junit", "j.xml"]
    expected += ["--model", model] if model else []
    assert done.stdout.splitlines() == [*expected, "--data", "a b"]
    assert not (tmp_path / "evil").exists()
