"""The page in headless Chromium: charts, tables, colours, widths; nothing on the console, no request, no violation."""

from pathlib import Path

import pytest

from bitwright.report import Report, render
from tests.browser import launched, needs_axe, needs_chromium, serious_violations

pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(report: Report, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(report), "utf-8")
    return path


@pytest.fixture
def opened(browser, file: Path):
    """Open the page; a test fails where it wrote to the console, raised, opened a dialog, or asked for anything."""
    faults, contexts = [], []

    def open_page(width: int = 1280, scheme: str = "light", **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on(
            "request", lambda r: None if r.url == file.as_uri() or r.url.startswith("data:") else faults.append(r.url)
        )
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_chart_is_drawn_and_nothing_is_cut(opened, width: int, scheme: str):
    page = opened(width, scheme)
    charts = page.locator("[data-chart]")
    assert charts.count() == 13
    for i in range(charts.count()):
        assert charts.nth(i).locator("svg").count() >= 1, charts.nth(i).get_attribute("data-chart")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = """() => [...document.querySelectorAll("section p, .gates div, .tile p, .verdict, figure, .gallery .says")]
        .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent.slice(0, 80))"""
    assert page.evaluate(cut) == []
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(LABELS) == []


LABELS = """() => [...document.querySelectorAll("[data-chart]")].flatMap((chart) => {
    const labels = chart.querySelectorAll("[aria-label$='-axis label'], [aria-label$='-axis tick label'] text");
    const boxes = [...labels].map((label) => label.getBoundingClientRect());
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 1 < b.bottom && b.top + 1 < a.bottom;
    return boxes.some((a, i) => boxes.slice(0, i).some((b) => meet(a, b))) ? [chart.dataset.chart] : [];
})"""
"""Charts whose axes' labels overlap."""
CLIPPED = """() => [...document.querySelectorAll("[data-chart]")].flatMap((chart) => {
    const frame = chart.getBoundingClientRect();
    return [...chart.querySelectorAll("text")].filter((text) => {
        const box = text.getBoundingClientRect();
        return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
    }).map((text) => chart.dataset.chart + ": " + text.textContent);
})"""
"""Texts of charts that stick out of what is shown of them."""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_follow_the_system_and_the_button(opened, scheme: str):
    page = opened(scheme=scheme)

    def is_dark() -> bool:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(colour.removeprefix("rgb(").split(",")[0]) < 60

    assert is_dark() == (scheme == "dark")
    page.click("#theme")
    assert is_dark() == (scheme == "light")


def test_names_stay_text(opened, report: Report):
    page = opened()
    assert page.locator("section script, section iframe, img[onerror]").count() == 0
    assert page.locator(".gallery img").count() == len(report.samples)
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


def test_a_heading_sorts_its_column(opened, report: Report):
    page = opened()
    heading = page.locator("#kernels th button", has_text="µs")
    times = sorted((step.time_us for step in report.plan.steps), reverse=True)
    heading.click()
    shown = page.locator("#kernels tbody tr td:nth-child(5)").all_inner_texts()
    assert shown == [f"{time:,.1f}" for time in times]
    assert page.locator("#kernels th[aria-sort=descending]").count() == 1
    heading.click()
    assert page.locator("#kernels tbody tr td:nth-child(5)").all_inner_texts() == shown[::-1]


def test_the_chart_of_layers_shows_what_is_chosen(opened, report: Report):
    page = opened()
    layers = page.locator('[data-chart="layers"]')
    assert "SQNR" in layers.inner_text()
    page.select_option("#metric", "macs")
    assert "multiply-adds" in layers.inner_text()
    with_weights = [layer for layer in report.summary.layers if layer.macs]
    assert layers.locator("[aria-label=bar] rect").count() == len(with_weights)
    before = page.locator('[data-chart="codes"]').inner_html()
    page.select_option("#layer", index=0)
    assert page.locator('[data-chart="codes"]').inner_html() != before


def test_pointing_at_a_bar_says_its_layer(opened):
    page = opened()
    chart = page.locator('[data-chart="layers"]')
    chart.scroll_into_view_if_needed()
    box = chart.locator("[aria-label=bar] rect").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(
        """document.querySelector('[data-chart="layers"] [aria-label=tip]').textContent.includes("SQNR")"""
    )


def test_the_gallery_shows_one_kind(opened, report: Report):
    kinds = [sample.kind for sample in report.samples]
    assert len(set(kinds)) > 1
    page = opened()
    page.click(f"#kinds [data-kind={kinds[0]}]")
    assert page.locator(".gallery li:visible").count() == kinds.count(kinds[0])


@needs_axe
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_no_serious_violation(opened, scheme: str, width: int):
    page = opened(width, scheme, bypass_csp=True)  # axe is a script from elsewhere
    assert serious_violations(page) == []


def test_without_scripts_every_figure_is_there(opened, report: Report):
    page = opened(java_script_enabled=False)
    text = page.locator("main").inner_text()
    assert f"{report.integer.top1:.2f}" in text
    for step in report.plan.steps:
        assert step.kernel in text


def test_a_print_shows_every_table(opened):
    page = opened()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
    assert len(page.pdf(print_background=True)) > 10_000
