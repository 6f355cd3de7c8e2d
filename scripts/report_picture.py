"""Draws docs/report.png, a page on a desktop and, dark, on a phone: `python -m scripts.report_picture PAGE docs/report.png`.

It fails where the page asks for anything but itself, or writes an error. It needs Chromium (`apt-get install chromium`),
Playwright and Pillow.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

HEIGHT, GAP = 1640, 24
SCREENS = ((1160, "light"), (390, "dark"))
"""Widths in pixels, and colours."""


def main(page: Path, output: Path) -> None:
    """Write both pictures side by side, in 256 colours, as PNG."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shots = [_shot(browser, page, width, colours) for width, colours in SCREENS]
        browser.close()
    whole = Image.new("RGB", (sum(shot.width for shot in shots) + GAP, HEIGHT), "white")
    whole.paste(shots[0], (0, 0))
    whole.paste(shots[1], (shots[0].width + GAP, 0))
    whole.quantize(256, dither=Image.Dither.NONE).save(output, optimize=True)


def _shot(browser: Browser, page: Path, width: int, colours: str) -> Image.Image:
    context = browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme=colours)  # type: ignore[arg-type]
    tab, faults = context.new_page(), list[str]()
    tab.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else faults.append(asked.url))
    tab.goto(page.resolve().as_uri())
    tab.wait_for_load_state("networkidle")
    found = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    context.close()
    if faults:
        raise SystemExit(f"{page}: {'; '.join(faults)}")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
