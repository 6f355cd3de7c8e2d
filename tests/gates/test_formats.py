"""JUnit XML, annotations and Markdown, with names that try to be markup."""

from xml.etree import ElementTree

import pytest

from bitwright.gates import Gate, Verdict
from bitwright.gates.formats import annotations, junit, markdown
from bitwright.gates.verdict import Finding

EVIL = "</testcase><script>alert(1)</script> & \"'%0A::set-env name=x::y\n::warning::z\r| `c`\x00\x1b[31m\ud800"


def verdict(*passed: bool, reason: str = "said so", path: str = "m.bw.safetensors") -> Verdict:
    findings = tuple(Finding(Gate("max_bytes", 9, line=i + 1), p, 10, None, reason) for i, p in enumerate(passed))
    return Verdict(path, "00ff", "gates.toml", findings)


def test_junit_has_a_test_for_each_gate():
    root = ElementTree.fromstring(junit(verdict(True, False)))
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    cases = suite.findall("testcase")
    assert [case.get("classname") for case in cases] == ["m.bw.safetensors"] * 2
    assert [case.find("failure") is not None for case in cases] == [False, True]
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.get("message") == failure.text == "said so"


def test_junit_stays_a_document_whatever_names_hold():
    root = ElementTree.fromstring(junit(verdict(False, reason=EVIL, path=EVIL)))
    assert root.find(".//script") is None
    (case,) = root.iter("testcase")
    assert "</testcase><script>" in (case.get("classname") or "")


def test_annotations_point_at_the_gates_line():
    assert annotations(verdict(True, False)) == [
        "::error file=gates.toml,line=2,title=max_bytes::m.bw.safetensors: said so"
    ]
    assert annotations(verdict(True)) == ["::notice title=bitwright check::m.bw.safetensors keeps its gate"]
    assert annotations(verdict(True, True))[0].endswith("keeps all 2 gates")


@pytest.mark.parametrize("passed", [True, False])
def test_no_name_can_be_a_command_of_its_own(passed: bool):
    (line,) = annotations(verdict(passed, reason=EVIL, path=EVIL))
    assert "\n" not in line
    assert "\r" not in line
    assert "%250A" in line


def test_markdown_has_a_row_for_each_gate():
    text = markdown(verdict(True, False, reason=EVIL))
    rows = [line for line in text.splitlines() if line.startswith("| ") and "max_bytes" in line]
    assert [row.split(" | ")[0] for row in rows] == ["| passed", "| **FAILED**"]
    assert "<script>" not in text
    assert r"\| \`c\`" in text
