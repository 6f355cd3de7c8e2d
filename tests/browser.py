"""Headless Chromium, and axe-core in it. Tests that need them are skipped, with a word, where they are missing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import REPOSITORY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = REPOSITORY / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""A camera that shows a pattern, and nobody who has to allow it."""
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core from npm: make axe")


@contextmanager
def launched() -> Iterator:
    """The browser. Not for a whole session: Playwright keeps an event loop running, in which tests cannot start theirs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA])
        yield browser
        browser.close()


def serious_violations(page) -> list[tuple[str, str, list[str]]]:
    """What axe-core calls serious or critical: the rule, its impact, and the elements. The context has to bypass the policy."""
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 10
    return [
        (v["id"], v["impact"], [node["html"][:200] for node in v["nodes"]])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
