"""The page on audits shows what `bitwright audit` prints today: the same labels, and tables with the same heads."""

import re
from collections.abc import Iterator

import pytest

from bitwright.cli.audit_tables import print_audit
from tests.audit.sample import AUDIT
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "audit.md").read_text("utf-8")
FIRST = ("remedy", "layer", "class", "confidence %", "image", "corruption", "attack")


def cells(line: str) -> tuple[str, ...]:
    return tuple(re.split(r"\s{2,}", line.strip()))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> str:
    print_audit(AUDIT)
    return capsys.readouterr().out


def shown() -> Iterator[tuple[str, ...]]:
    """The heads of the tables in the page's examples."""
    for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            found = cells(line)
            if found[0] in FIRST and len(found) > 3:
                yield found


def test_tables_have_the_heads_that_are_printed(printed: str) -> None:
    heads = {found for line in printed.splitlines() if (found := cells(line))[0] in FIRST}
    on_page = list(shown())
    assert {head[0] for head in on_page} == set(FIRST)
    for head in on_page:
        assert head in heads, head


def test_the_summary_has_the_labels_that_are_printed(printed: str) -> None:
    (example,) = re.findall(r"^(artifact .*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    summary = printed.partition("\n\n")[0]
    assert [cells(line)[0] for line in example.splitlines()] == [cells(line)[0] for line in summary.splitlines()]


def test_decisions_have_the_labels_that_are_printed(printed: str) -> None:
    (example,) = re.findall(r"^```\n(agreement .*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    labels = [cells(line)[0] for line in example.splitlines()]
    told = [cells(line)[0] for line in printed.splitlines()]
    assert [label for label in told if label in labels][-len(labels) :] == labels
    assert len(labels) > 7
