"""The page: what is shown, names that try to be markup, and that it needs nothing else. `test_page` opens it in a browser."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bitwright.chance import mcnemar
from bitwright.report import Report, render
from bitwright.report.render import FILTERS, plain_json
from tests.report.conftest import NAMES


class Parsed(HTMLParser):
    """The elements, the text outside of scripts, and the scripts of a page, as a browser takes them apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            self.scripts[-1] += data
        elif self._open != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report)


@pytest.fixture(scope="module")
def parsed(page: str) -> Parsed:
    return Parsed(page)


def test_what_the_page_draws_with_is_there(parsed: Parsed):
    _, parts, ours = parsed.scripts
    for name in ("Plot", "d3"):
        (found,) = re.findall(rf"globalThis\.{name}={{([^}}]*)}}", parts)
        assert {entry.partition(":")[0] for entry in found.split(",")} == set(re.findall(rf"\b{name}\.(\w+)", ours))


def test_names_are_text_and_no_markup(parsed: Parsed, report: Report):
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("script") == 3  # the numbers, Plot with d3, and ours
    assert not {"i", "net", "gates", "remark", "no", "busy", "layer", "weights", "pgd", "gradient", "ship"} & set(tags)
    assert tags.count("img") == len(report.samples) > 0
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    for name in NAMES:
        assert name in parsed.text
    for text in (
        'models/<i>"m"</i>.bw.safetensors',
        "colours:<net>",
        "<b>noise</b>",
        "RGB, <8x8>",
        "<gates>.toml",
        "old<br>.bw.safetensors",
        "bitwright report '<script>'",
        "a <remark>",
        "</dl>.png",
        "<no> picture",
        "timed on a <busy> machine",
        "has </script> bits",
        "8 bits for <layer>",
        "<pgd> prepared 2/255",
        "one <gradient> alone",
        "it all goes to <ship>",
    ):
        assert text in parsed.text
    alts = [attributes["alt"] for tag, attributes in parsed.elements if tag == "img"]
    assert alts == [sample.name for sample in report.samples]


def test_names_reach_the_script_as_they_are(parsed: Parsed):
    data = json.loads(parsed.scripts[0])
    assert sorted(row["name"] for row in data["classes"]) == sorted(NAMES)
    assert "<" not in parsed.scripts[0]


def test_json_holds_nothing_that_ends_a_script():
    assert plain_json({"</script><!--": "&\u2028"}) == r'{"\u003c/script\u003e\u003c!--":"\u0026\u2028"}'


def test_the_policy_lets_these_scripts_run_and_no_others(parsed: Parsed):
    (policy,) = [a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in parsed.scripts[1:]]
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert rules["img-src"] == "data:"


def test_one_file_that_asks_for_nothing(page: str, parsed: Parsed):
    assert len(page.encode()) < 3_000_000
    targets = [a[name] or "" for _, a in parsed.elements for name in ("src", "href", "action", "data") if name in a]
    assert [target for target in targets if not target.startswith(("#", "data:image/"))] == []
    assert not {tag for tag, _ in parsed.elements} & {"link", "iframe", "object", "embed", "base", "form"}
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_the_verdict(report: Report, parsed: Parsed):
    assert report.verdict is not None
    assert [f.gate.name for f in report.verdict.failed] == ["min_agreement"]
    assert "Failed: 1 of 4 gates not kept min_agreement of <gates>.toml" in parsed.text
    for finding in report.verdict.findings:
        assert finding.reason in parsed.text
    kept = replace(report.verdict, findings=tuple(f for f in report.verdict.findings if f.passed))
    assert "Passed: all 3 gates hold Judged by <gates>.toml" in Parsed(render(replace(report, verdict=kept))).text
    one = replace(kept, findings=kept.findings[:1])
    assert "Passed: the gate holds" in Parsed(render(replace(report, verdict=one))).text
    without = Parsed(render(replace(report, verdict=None))).text
    assert "No verdict" in without
    assert "min_agreement" not in without


def test_parts_that_were_not_measured_are_left_out(report: Report):
    bare = replace(
        report, verdict=None, audit=None, pareto_front=None, samples=(), disagreeing=0, remarks=(), left_out=()
    )
    parsed = Parsed(render(bare))
    sections = [a.get("id") for tag, a in parsed.elements if tag == "section"]
    assert sections == ["beside", "layers", "kernels", "classes", "decisions", "images", "provenance"]
    links = [(a["href"] or "")[1:] for tag, a in parsed.elements if tag == "a"]
    assert links == ["main", *sections]
    assert "There are none: the two put every image in the same class." in parsed.text
    assert "SQNR" not in parsed.text


def test_the_audit_is_shown_layer_by_layer(report: Report, parsed: Parsed):
    assert report.audit is not None
    for layer in report.audit.layers:
        if layer.name in {shown.name for shown in report.summary.layers}:
            made_by, own_db = layer.enters
            assert f"{layer.db:.1f} {own_db:.1f} 0.75 2.0 {made_by}" in parsed.text
    assert "fault <layer> has </script> bits" in parsed.text
    assert "8 bits for <layer> 96 % +1.15 +12.8 +556" in parsed.text


def test_decisions_are_those_of_all_images_of_the_report(report: Report, parsed: Parsed):
    """Of the images of the report itself, not of the audit's, whose calibration errors are others."""
    assert report.reliability is not None
    assert report.mcnemar_p == mcnemar(report.lost, report.gained)
    float_, integer = report.reliability
    assert [sum(each.images for each in found.bins) for found in (float_, integer)] == [report.images] * 2
    right = [sum(each.images * (each.accuracy or 0) for each in found.bins) for found in (float_, integer)]
    assert right == pytest.approx([report.images * (top1 or 0) for top1 in (report.float_.top1, report.integer.top1)])
    assert f"Calibration error {integer.ece:.2f} points, float {float_.ece:.2f}" in parsed.text
    assert (
        f"{FILTERS['chance'](report.mcnemar_p)} for {report.lost} images that only the float model has right"
        in parsed.text
    )
    data = json.loads(parsed.scripts[0])
    shown = [(b["kind"], b["lo"], b["images"], b["accuracy"]) for b in data["reliability"]]
    kinds = (("float", float_), ("integer", integer))
    assert shown == [(kind, b.lo, b.images, b.accuracy) for kind, found in kinds for b in found.bins if b.images]
    without = Parsed(render(replace(report, reliability=None, mcnemar_p=None)))
    assert "decisions" not in [a.get("id") for _, a in without.elements]


def test_robustness_and_screen_are_the_audits(report: Report, parsed: Parsed):
    assert report.audit is not None
    assert "noise sigma 4 500 88.50 87.00 95.50 0.21" in parsed.text
    assert "<pgd> prepared 2/255 200 31.50 29.00" in parsed.text
    assert "suspicious it all goes to <ship> Changed answers go to <ship>, p 1e\u221209" in parsed.text
    assert "12.5 % of 2,304 of layer1.0.conv1" in parsed.text
    assert "layer1.0.conv1 1,747 7 -11 117 9.38 87.50" in parsed.text
    data = json.loads(parsed.scripts[0])
    assert data["corruptions"] == [{"name": "noise, sigma 4", "float": 88.5, "integer": 87.0}]
    assert data["attacks"] == [{"name": "2/255 <pgd>, prepared", "float": 31.5, "integer": 29.0}]
    bare = Parsed(render(replace(report, audit=replace(report.audit, robustness=None, screen=None, bit_flips=None))))
    assert not {"robustness", "screen", "bit-flips"} & {a.get("id") for _, a in bare.elements}


def test_the_front_is_shown_with_what_was_measured(parsed: Parsed):
    assert "int8, and 2 x int4, 1 x int2 found 10.00 2.00" in parsed.text
    assert "int8 everywhere 25.00 0.00" in parsed.text


@pytest.mark.parametrize(
    ("value", "digits", "plain", "signed"),
    [
        (-0.0, 2, "0.00", "0.00"),
        (-0.004, 2, "0.00", "0.00"),
        (0.004, 2, "0.00", "0.00"),
        (1234.5, 1, "1,234.5", "+1,234.5"),
    ],
)
def test_nought_has_no_sign(value: float, digits: int, plain: str, signed: str):
    assert FILTERS["number"](value, digits) == plain
    assert FILTERS["signed"](value, digits) == signed
    assert FILTERS["signed"](-12.5, 1) == "\u221212.5"


def test_the_same_report_is_the_same_page(report: Report, page: str):
    assert render(report) == page
