"""A verdict as build servers read it: JUnit XML, GitHub's annotations, and a table in Markdown for GitHub's summary."""

import re
from html import escape
from xml.etree import ElementTree

from bitwright.gates.verdict import Finding, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not."""


def junit(verdict: Verdict) -> bytes:
    """A test suite with a test for each gate, in the form that Jenkins, GitLab and Azure read."""
    counts = {"tests": str(len(verdict.findings)), "failures": str(len(verdict.failed)), "errors": "0", "skipped": "0"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "bitwright check", **counts})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in {"sha256": verdict.sha256, "gates": verdict.gates}.items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for finding in verdict.findings:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": _xml(verdict.artifact), "name": finding.gate.name, "time": "0"}
        )
        if finding.passed:
            ElementTree.SubElement(case, "system-out").text = _xml(finding.reason)
        else:
            message = _xml(finding.reason)
            ElementTree.SubElement(case, "failure", {"message": message, "type": "gate"}).text = message
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def annotations(verdict: Verdict) -> list[str]:
    """GitHub's workflow commands: an error at the line of each gate that failed, and a notice where none did."""
    if verdict.passed:
        return [f"::notice title=bitwright check::{_data(_summary(verdict))}"]
    return [_error(verdict, finding) for finding in verdict.failed]


def markdown(verdict: Verdict) -> str:
    """A heading and a table, for $GITHUB_STEP_SUMMARY."""
    rows = [f"| {_mark(f)} | `{f.gate.name}` | {_cell(f.reason)} |" for f in verdict.findings]
    head = f"### {_cell(_summary(verdict))}\n\n| | gate | found |\n| --- | --- | --- |\n"
    return head + "\n".join(rows) + f"\n\nsha256 `{verdict.sha256}`\n"


def _summary(verdict: Verdict) -> str:
    total = len(verdict.findings)
    if verdict.passed:
        return f"{verdict.artifact} keeps {'its gate' if total == 1 else f'all {total} gates'}"
    return f"{verdict.artifact} fails {len(verdict.failed)} of {total} gates"


def _mark(finding: Finding) -> str:
    return "passed" if finding.passed else "**FAILED**"


def _error(verdict: Verdict, finding: Finding) -> str:
    line = "" if finding.gate.line is None else f"line={finding.gate.line},"
    place = f"file={_property(verdict.gates)},{line}title={_property(finding.gate.name)}"
    return f"::error {place}::{_data(f'{verdict.artifact}: {finding.reason}')}"


def _data(text: str) -> str:
    """Escaped as the runner's toolkit escapes a message (actions/toolkit, packages/core/src/command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cell(text: str) -> str:
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", escape(text, quote=False)).replace("\r", " ").replace("\n", " ")


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)
