"""The command line as a whole: help, exit codes, interruptions, pipes and terminals, and what it imports."""

import io
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import bitwright
from bitwright.cli import app, main
from tests.cli.conftest import QUANTIZE, Run, result

COMMANDS = [
    "audit",
    "bench",
    "check",
    "classify",
    "compare",
    "completion",
    "evaluate",
    "export",
    "inspect",
    "keygen",
    "quantize",
    "report",
    "search",
    "sensitivity",
    "serve",
    "sign",
    "train",
    "verify",
    "zoo",
]
FLOATS = click.types.FloatParamType
SOURCES = str(Path(bitwright.__file__).parent.parent)
WITHOUT_TORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from bitwright.cli import main
sys.exit(main())
"""


def in_a_process(project: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": SOURCES, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_version(run: Run):
    assert run("--version") == (0, f"bitwright {bitwright.__version__}\n", "")


def test_help_lists_the_commands(run: Run):
    result = run("--help")
    assert result.code == 0
    listed = result.out.partition("Commands:\n")[2].split("\n")
    assert [line.split()[0] for line in listed if line] == COMMANDS


@pytest.mark.parametrize("arguments", [["no-such-command"], ["inspect"], ["inspect", "--no-such-option"], ["quantize"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], run: Run):
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Usage: bitwright")


def test_a_mistyped_command_names_the_nearest(run: Run):
    assert "No such command 'evalute'; did you mean 'evaluate'?" in run("evalute").err
    assert "did you mean" not in run("--xx").err


def test_no_option_takes_nan():
    """No comparison refuses it, and whatever is judged by it is judged wrong."""
    context = click.Context(app.bitwright)
    commands = [app.bitwright.get_command(context, name) for name in COMMANDS]
    numbers = [o for command in commands if command is not None for o in command.params if isinstance(o.type, FLOATS)]
    assert len(numbers) >= 10
    for number in ("nan", "inf"):
        for option in numbers:
            with pytest.raises(click.BadParameter, match=r"finite number|is not in the range"):
                option.type.convert(number, option, context)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_every_default(name: str):
    """A number or a word that stands for what is not given is shown; nothing, "no" and "as often as wanted" need no words."""
    context = click.Context(app.bitwright)
    command = app.bitwright.get_command(context, name)
    assert command is not None
    for option in command.params:
        if isinstance(option, click.Option) and isinstance(option.default, int | float | str) and not option.is_flag:
            assert option.show_default, f"{name} {option.opts}: {option.default!r}"


def test_commands_on_artifacts_need_no_torch(project: Path, run: Run):
    for arguments in (
        ["inspect", "m.bw.safetensors"],
        ["classify", "m.bw.safetensors", "images/red/0.png"],
        ["evaluate", "m.bw.safetensors", "--data", "images", "--per-class"],
        ["compare", "m.bw.safetensors", "m.bw.safetensors", "--data", "images", "--no-timing"],
        ["--help"],
    ):
        found = in_a_process(project, "-c", WITHOUT_TORCH, *arguments)
        assert result(found.returncode, found.stdout, found.stderr) == run(*arguments)
        assert found.returncode == 0


@pytest.mark.parametrize("arguments", [["-o", "x", *QUANTIZE[1:]], ["colours:net", "--data", "images"]])
def test_commands_that_need_torch_say_what_to_install(arguments: list[str], project: Path):
    command = "quantize" if "-o" in arguments else "evaluate"
    found = in_a_process(project, "-c", WITHOUT_TORCH, command, *arguments)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        "bitwright: error: this needs the module 'torch', which is not installed; "
        "install it with: pip install 'bitwright[torch]'\n"
    )


def test_importing_bitwright_imports_nothing_for_show(project: Path):
    code = "import sys, bitwright; print(sorted({'click', 'rich', 'torch', 'numpy'} & set(sys.modules)))"
    assert in_a_process(project, "-c", code).stdout == "[]\n"


def test_a_pipe_gets_the_same_whatever_the_terminal_is(project: Path, run: Run):
    arguments = ["evaluate", "m.bw.safetensors", "--data", "mixed"]
    expected = run(*arguments)
    environment = {"COLUMNS": "20", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TERM": "xterm-256color", "LINES": "5"}
    found = in_a_process(project, "-m", "bitwright.cli", *arguments, **environment)
    assert result(found.returncode, found.stdout, found.stderr) == expected
    assert "\x1b" not in found.stdout + found.stderr


def test_a_name_that_the_locale_cannot_spell_is_no_error(project: Path, tmp_path: Path):
    from dataclasses import replace

    from bitwright.artifact import load

    replace(load("m.bw.safetensors"), classes=("猫", "b", "c")).save(tmp_path / "x.bw.safetensors")
    found = in_a_process(
        project, "-m", "bitwright.cli", "inspect", str(tmp_path / "x.bw.safetensors"), PYTHONIOENCODING="latin-1"
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert "3: \\u732b, b, c\n" in found.stdout


class Terminal(io.StringIO):
    """Claims to be one."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_progress_bar_and_a_pipe_none(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    arguments = ["evaluate", "m.bw.safetensors", "--data", "images"]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert main(arguments) == 0
    assert "evaluating" in terminal.getvalue()
    capsys.readouterr()
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    assert main(arguments) == 0
    assert result(0, "", pipe.getvalue()).err == ""


def test_an_interruption_leaves_nothing_half_written(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out.bw.safetensors"
    out.write_bytes(b"what was there")

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    result = run(*QUANTIZE, "-o", out)
    assert (result.code, result.out) == (130, "")
    assert result.err.endswith("bitwright: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() == b"what was there"


def test_a_reader_that_has_enough_is_no_traceback(project: Path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bitwright.cli", "inspect", "m.bw.safetensors"]
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    found = subprocess.run(command, cwd=project, env=environment, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (found.returncode, found.stderr) == (1, b"")


def test_the_package_can_be_run(project: Path, run: Run):
    found = in_a_process(project, "-m", "bitwright", "classify", "m.bw.safetensors", "images/red/0.png")
    assert result(found.returncode, found.stdout, found.stderr) == run(
        "classify", "m.bw.safetensors", "images/red/0.png"
    )
    assert found.stdout


def test_only_the_command_that_runs_is_imported(project: Path):
    code = """
import sys
from bitwright.cli import main
main(["classify", "m.bw.safetensors", "images/red/0.png", "--json"])
print(sorted({"rich", "bitwright.cli.train", "bitwright.budget"} & set(sys.modules)), file=sys.stderr)
"""
    assert result(0, "", in_a_process(project, "-c", code).stderr).err == "[]\n"


@pytest.mark.parametrize(
    ("command", "module"),
    [("quantize", "torch"), ("train", "torch"), ("search", "torch"), ("sensitivity", "torch"), ("search", "scipy")],
)
def test_what_is_not_installed_is_said_before_any_work(command: str, module: str, project: Path):
    """Neither the model nor the data exist: nobody has looked for them yet."""
    code = WITHOUT_TORCH.replace('("torch", "torchvision", "timm")', f'("{module}",)')
    arguments = ["no:model", "--data", "nowhere", *([] if command == "sensitivity" else ["-o", "nowhere/x"])]
    found = in_a_process(project, "-c", code, command, *arguments)
    extra = "torch" if module == "torch" else "search"
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        f"bitwright: error: this needs the module {module!r}, which is not installed; "
        f"install it with: pip install 'bitwright[{extra}]'\n"
    )


@pytest.mark.parametrize("command", ["quantize", "train"])
def test_a_file_that_will_be_replaced_is_named_before_the_work(command: str, run: Run, tmp_path: Path):
    out = tmp_path / "out.safetensors"
    assert "exists" not in run(command, "no:model", "--data", "nowhere", "-o", out).err
    out.write_bytes(b"")
    said = run(command, "no:model", "--data", "nowhere", "-o", out).err
    assert said.startswith(f"bitwright: note: {out} exists, and will be replaced\nbitwright: error: nowhere")


def test_the_files_beside_what_search_writes_are_named_too(run: Run, tmp_path: Path):
    pytest.importorskip("scipy")
    for suffix in ("bw.safetensors", "front.json", "recipe.toml"):
        (tmp_path / f"out.{suffix}").write_bytes(b"")
    said = run("search", "no:model", "--data", "nowhere", "-o", tmp_path / "out.bw.safetensors").err
    assert [line.partition(str(tmp_path))[2] for line in said.splitlines() if line.startswith("bitwright: note")] == [
        f"/out.{suffix} exists, and will be replaced" for suffix in ("bw.safetensors", "recipe.toml", "front.json")
    ]
