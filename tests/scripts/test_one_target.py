"""`scripts/one_target.py`: what the linker could give to callers of another target is found in what nm lists."""

import subprocess
from typing import Any

import pytest

from scripts import one_target


def listing(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    def nm(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "\n".join(lines), "")

    monkeypatch.setattr(subprocess, "run", nm)


@pytest.mark.parametrize(
    ("kind", "name", "shared"),
    [
        ("W", "bitwright::depth_of(bitwright::GroupedParams const&)", True),
        ("u", "std::vector<int>::size() const", True),
        ("W", "bitwright::avx2::depth_of(bitwright::GroupedParams const&)", False),
        ("W", "bitwright::avx512::depth_of(bitwright::GroupedParams const&)", True),
        ("t", "bitwright::(anonymous namespace)::run(bitwright::PoolParams const&)", False),
        ("R", "bitwright::pool_avx2", False),
    ],
)
def test_what_is_shared(kind: str, name: str, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    listing(monkeypatch, f"libengine.a:avx2.cc.o:0000000000000000 {kind} {name}")
    assert one_target.shared("libengine.a") == {"avx2": [name] if shared else []}


def test_files_of_no_target_may_share_and_those_with_a_longer_name_belong_to_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "std::vector<int>::size() const"
    lines = [f"libengine.a:{file}.cc.o:0000 W {name}" for file in ("plan", "scalar", "avx512vbmi_image")]
    listing(monkeypatch, *lines)
    assert one_target.shared("libengine.a") == {"avx512vbmi": [name]}


def test_the_exit_says_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["one_target.py", "libengine.a"])
    listing(monkeypatch, "libengine.a:amx.cc.o:0000 W bitwright::f()")
    with pytest.raises(SystemExit, match="inline namespace BITWRIGHT_TARGET"):
        one_target.main()
    assert "for amx: bitwright::f()" in capsys.readouterr().out
    listing(monkeypatch)
    with pytest.raises(SystemExit, match="found none"):
        one_target.main()
