"""The page in headless Chromium. Skipped, with a word, where there is no Playwright or no Chromium."""

from dataclasses import replace

import pytest

from tests.browser import launched, needs_axe, needs_chromium, serious_violations
from tests.serve.conftest import QUICK, Running, picture

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture
def faults():
    """What the page wrote to the console, and requests that left the server. A test ends with none."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def page(browser, running: Running, faults):
    context = browser.new_context()
    page = context.new_page()
    home = f"http://127.0.0.1:{running.port}/"
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((home, "data:", "blob:")) else faults.append(request.url),
    )
    page.goto(home)
    page.wait_for_selector(".model >> nth=1")
    yield page
    context.close()


def verdicts(page) -> list[str]:
    playwright.expect(page.locator(".pixels:not([hidden])")).to_have_count(2)
    return page.locator(".top li:first-child .name").all_inner_texts()


def test_a_chosen_picture_is_classified_by_all_models_side_by_side(page):
    page.set_input_files("#file", {"name": "r.png", "mimeType": "image/png", "buffer": picture("red")})
    assert verdicts(page) == ["red", "red"]
    assert page.locator("h3").all_inner_texts() == ["colours", "bits"]
    assert "ms on the server" in page.locator(".time").first.inner_text()
    assert page.locator(".bits:not([hidden])").count() == 1  # of the model that reads bits
    assert page.locator("#status").inner_text() == "colours: red. bits: red."


@pytest.mark.parametrize(("event", "carrier"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_a_picture_can_be_dropped_or_pasted(page, event, carrier):
    page.evaluate(
        """([kind, carrier, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "b.png", { type: "image/png" }));
            const event = new Event(kind, { bubbles: true, cancelable: true });
            Object.defineProperty(event, carrier, { value: data });
            document.body.dispatchEvent(event);
        }""",
        [event, carrier, list(picture("blue"))],
    )
    assert verdicts(page) == ["blue", "blue"]


def test_the_keyboard_reaches_every_button_and_the_chooser_opens(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    page.evaluate("""document.getElementById("file").addEventListener("click", (event) => {
        event.preventDefault();
        document.title = "the chooser opens";
    })""")
    page.keyboard.press("Enter")
    playwright.expect(page).to_have_title("the chooser opens")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "photograph"


def test_a_photo_is_taken_with_the_camera(page):
    page.click("#photograph")
    page.wait_for_selector("#video")
    playwright.expect(page.locator("#shoot")).to_be_focused()
    page.keyboard.press("Enter")
    assert len(verdicts(page)) == 2
    assert page.locator("#given-name").inner_text() == "photo.png"
    assert page.evaluate("document.getElementById('video').srcObject.active") is False  # the camera is off
    playwright.expect(page.locator("#camera")).to_be_hidden()
    page.click("#photograph")
    page.wait_for_selector("#video")
    page.click("#camera-off")
    playwright.expect(page.locator("#photograph")).to_be_focused()


def test_a_phone_opens_its_own_camera(browser, running):
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{running.port}/")
    page.wait_for_selector(".model >> nth=1")
    with page.expect_file_chooser() as chooser:
        page.tap("#photograph")
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files({"name": "p.png", "mimeType": "image/png", "buffer": picture("green")})
    assert verdicts(page) == ["green", "green"]
    context.close()


def test_a_screen_reader_hears_classes_with_their_percent(page):
    page.set_input_files("#file", {"name": "r.png", "mimeType": "image/png", "buffer": picture("red")})
    verdicts(page)
    heard = page.locator("main").aria_snapshot()
    for said in (
        'heading "Picture"',
        'button "Choose a file"',
        'status: "colours: red. bits: red."',
        'heading "bits"',
        'list "Most probable classes"',
        'meter "red: 100',
        'img "The picture in bits, as bits reads it"',
    ):
        assert said in heard, heard


def test_what_is_said_is_said_to_screen_readers(page):
    assert page.locator("#status").get_attribute("role") == "status"
    page.set_input_files("#file", {"name": "r.png", "mimeType": "image/png", "buffer": picture("red")})
    verdicts(page)
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("meter").first.get_attribute("aria-label").startswith("red: ")


def test_a_file_that_is_no_picture_is_said(page, faults):
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"nothing"})
    page.wait_for_selector(".verdict.bad")
    assert "not an image of a known format" in page.locator(".verdict").first.inner_text()
    page.wait_for_selector("#status.bad")
    assert all("400" in fault for fault in faults)  # the browser itself notes each refused request
    faults.clear()


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(browser, running, scheme):
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)  # axe is a script from elsewhere
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{running.port}/")
    page.wait_for_selector(".model >> nth=1")
    assert serious_violations(page) == []  # before there is a picture
    page.set_input_files("#file", {"name": "r.png", "mimeType": "image/png", "buffer": picture("red")})
    verdicts(page)
    assert serious_violations(page) == []
    page.click("#photograph")
    page.wait_for_selector("#video")
    page.evaluate("document.getElementById('token-form').hidden = false")
    assert serious_violations(page) == []
    page.click("#camera-off")
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"nothing"})
    page.wait_for_selector("#status.bad")
    assert serious_violations(page) == []
    context.close()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen_and_dark_is_dark(page, scheme, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.set_input_files("#file", {"name": "r.png", "mimeType": "image/png", "buffer": picture("red")})
    verdicts(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(colour.removeprefix("rgb(").split(",")[0])
    assert (red < 60) == (scheme == "dark")


def test_the_page_asks_for_the_token(browser, started):
    server = started(replace(QUICK, token="s3cret"))
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("#token-form:not([hidden])")
    page.fill("#token", "s3cret")
    page.keyboard.press("Enter")
    page.wait_for_selector(".model >> nth=1")
    page.set_input_files("#file", {"name": "b.png", "mimeType": "image/png", "buffer": picture("blue")})
    assert verdicts(page) == ["blue", "blue"]
    context.close()


def test_the_page_loads_nothing_from_elsewhere_and_says_so(running):
    policy = running.ask("GET", "/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for path in ("/", "/page.js", "/page.css"):  # the icon names the namespace of SVG
        assert b"://" not in running.ask("GET", path).body
