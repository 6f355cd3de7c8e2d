"""The examples of deployment start the server as it can be started, and ask for paths that it has."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from bitwright.cli.serve import serve
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "examples" / "deploy"


def manifests(name: str) -> list[dict]:
    return list(yaml.safe_load_all((FOLDER / name).read_text("utf-8")))


def containers(name: str) -> list[dict]:
    def found(node):
        if isinstance(node, dict):
            yield from node.get("containers", [])
            for value in node.values():
                yield from found(value)
        elif isinstance(node, list):
            for value in node:
                yield from found(value)

    return [container for manifest in manifests(name) for container in found(manifest)]


def understood(arguments: list[str]) -> dict:
    """The command's parameters of these arguments; click raises for those that it does not know."""
    return serve.make_context("serve", arguments).params


@pytest.mark.parametrize("name", ["kubernetes.yaml", "kserve.yaml"])
def test_manifests_start_the_server_and_probe_it(name):
    (container,) = containers(name)
    parameters = understood(container["args"])
    assert parameters["artifacts"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert parameters["port"] in ports.values()
    probe = container["readinessProbe"]["httpGet"]
    assert probe["path"] == "/v2/health/ready"
    assert ports.get(probe["port"], probe["port"]) == parameters["port"]


def test_the_unit_starts_the_server():
    text = (FOLDER / "bitwright.service").read_text("utf-8")
    command = re.search("^ExecStart=(.*)$", text, re.MULTILINE)
    assert command is not None
    program, *arguments = shlex.split(command[1])
    assert Path(program).name == "bitwright"
    assert arguments[0] == "serve"
    assert understood(arguments[1:])["token_file"] == Path("%d/token")


def test_the_image_is_built_of_what_the_build_needs_and_of_nothing_else():
    kept = {
        line[1:]
        for line in (FOLDER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    needed = set(
        re.findall(r"(?:LICENSE|README\.md|csrc|src|CMakeLists\.txt)", (REPOSITORY / "pyproject.toml").read_text())
    )
    assert kept == {"pyproject.toml", "requirements.lock", "CMakeLists.txt", "csrc", *needed}
    assert all((REPOSITORY / name).exists() for name in kept)


def test_the_image_runs_as_somebody_without_rights():
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    assert re.findall("^USER (.*)$", text, re.MULTILINE) == ["10001"]
    entry = re.search(r"^ENTRYPOINT \[(.*)\]$", text, re.MULTILINE)
    assert entry is not None
    arguments = [part.strip(' "') for part in entry[1].split(",")]
    assert understood([*arguments[2:], "m"])["host"] == "0.0.0.0"
