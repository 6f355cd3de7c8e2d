"""/classify and /preview: image files in, classes and pictures out."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

import bitwright as bw
from bitwright.images.image_limits import VARIABLE
from tests.serve.conftest import Running, picture

BOUNDARY = "limit"
NAMELESS = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """A multipart body, and its content type."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


def classes(answer) -> list[str | None]:
    return [image["top"][0]["name"] if image["top"] else None for image in answer.json["images"]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", ""])
def test_a_file_is_the_body(running: Running, models, kind, content_type):
    data = picture("blue", kind)
    found = running.ask("POST", "/classify?model=colours", data, content_type=content_type)
    assert found.status == 200
    (prediction,) = bw.Classifier(models["colours"])(data)
    assert found.json["images"] == [prediction.to_json()]
    assert found.json["model"] == "colours"
    assert found.json["milliseconds"] > 0


def test_a_form_has_many_files_and_a_bad_one_spoils_no_other(running):
    body, kind = form(("r.png", picture("red")), ("x.png", b"not a picture"), ("b.jpg", picture("blue", "JPEG")))
    found = running.ask("POST", "/classify?model=colours&top=2", body, content_type=kind)
    assert found.status == 200
    assert classes(found) == ["red", None, "blue"]
    assert [image["path"] for image in found.json["images"]] == ["r.png", "x.png", "b.jpg"]
    assert found.json["images"][1]["error"].startswith("x.png: not an image of a known format")
    assert [len(image["top"]) for image in found.json["images"]] == [2, 0, 2]


def test_a_large_file_in_a_form_needs_no_disk(running, monkeypatch):
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile._TemporaryFileWrapper", full)
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)).save(noise, "PNG")
    assert len(noise.getvalue()) > 3 * 2**19
    body, kind = form(("large.png", noise.getvalue()))
    found = running.ask("POST", "/classify?model=colours", body, content_type=kind)
    assert (found.status, len(classes(found))) == (200, 1)


def test_more_files_than_a_thread_takes_at_once_keep_their_order(running):
    names = ["red", "green", "blue"] * 15
    body, kind = form(*((f"{i}.png", picture("lime" if name == "green" else name)) for i, name in enumerate(names)))
    assert classes(running.ask("POST", "/classify?model=colours", body, content_type=kind)) == names


def test_base64_in_json(running):
    images = [base64.b64encode(picture(colour)).decode() for colour in ("red", "blue")]
    body = json.dumps({"images": images})
    found = running.ask("POST", "/classify?model=bits", body, content_type="application/json; charset=utf-8")
    assert classes(found) == ["red", "blue"]
    assert found.json["model"] == "bits"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.png", "file:///etc/passwd", "https://example.org/x.png"])
def test_a_url_is_never_fetched(running, url):
    found = running.ask(
        "POST", "/classify?model=colours", json.dumps({"images": [url]}), content_type="application/json"
    )
    assert found.status == 400
    assert "is a URL, and this server fetches nothing" in found.json["error"]


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b"", "image/png", "found none"),
        (b"nothing", "image/png", "not an image of a known format"),
        (picture("red")[:30], "image/png", "image 0: "),
        (b"{", "application/json", "no JSON"),
        (b"[]", "application/json", '"images"'),
        (b'{"images": []}', "application/json", '"images"'),
        (b'{"images": [3]}', "application/json", "base64, found 3"),
        (b'{"images": ["%%"]}', "application/json", "no base64"),
        (b"no form", "multipart/form-data", "form cannot be read"),
        (b"no form", "multipart/form-data; boundary=x", "form cannot be read"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", "found none"),
        (NAMELESS, "multipart/form-data; boundary=x; charset=nix", "found none"),
    ],
    ids=lambda value: value.hex()[:16] if isinstance(value, bytes) else None,
)
def test_what_holds_no_image_is_refused(running, body, kind, says):
    found = running.ask("POST", "/classify?model=colours", body, content_type=kind)
    assert found.status == 400
    assert says in found.json["error"]


@pytest.mark.parametrize("query", ["top=0", "top=x", "top=1001", "top=1e3"])
def test_how_many_classes_is_a_small_number(running, query):
    found = running.ask("POST", f"/classify?model=colours&{query}", picture("red"))
    assert found.status == 400
    assert found.json["error"].startswith("top: ")


def test_a_model_that_is_not_there(running):
    found = running.ask("POST", "/classify?model=nix", picture("red"))
    assert found.status == 404
    assert "there are colours, bits" in found.json["error"]


@pytest.mark.parametrize("path", ["/classify", "/classify?top=2", "/preview"])
def test_of_several_models_one_has_to_be_named(running, path):
    found = running.ask("POST", path, picture("red"))
    assert found.status == 400
    assert found.json["error"] == "2 models are served, colours, bits; say which, as in ?model=colours"


def test_a_model_alone_needs_no_name_and_says_its_own(started, models):
    server = started(paths={"bits": models["bits"]})
    for path in ("/classify", "/classify?top=2"):
        assert server.ask("POST", path, picture("red")).json["model"] == "bits"


def test_too_many_files(running):
    body, kind = form(*(("a", b"x") for _ in range(300)))
    assert running.ask("POST", "/classify?model=colours", body, content_type=kind).status in (400, 413)
    images = json.dumps({"images": ["AA=="] * 300})
    found = running.ask("POST", "/classify?model=colours", images, content_type="application/json")
    assert found.status == 413
    assert "at most 256" in found.json["error"]


def test_pixels_have_a_limit(running, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1000")
    found = running.ask("POST", "/classify?model=colours", picture("red", size=(100, 100)))
    assert found.status == 400
    assert "10000 pixels, more than the limit of 1000" in found.json["error"]


def png(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_a_preview_shows_what_the_model_is_given(running, models):
    data = picture("#c01040")
    found = running.ask("POST", "/preview?model=colours", data)
    assert found.status == 200
    assert found.json["bits"] is None
    expected = bw.load(models["colours"]).preprocess.apply(Image.open(io.BytesIO(data)))
    assert np.array_equal(png(found.json["pixels"]), expected)


def test_a_preview_shows_the_bits_of_a_model_that_reads_bits(running, models):
    found = running.ask("POST", "/preview?model=bits", picture("#c01040"))
    preprocess = bw.load(models["bits"]).preprocess
    assert found.json["encoder"] == preprocess.encoder == "threshold:128"
    assert preprocess.bits is not None
    bright, dark = preprocess.bits.base + preprocess.bits.weights[0], preprocess.bits.base
    assert {tuple(pixel) for pixel in png(found.json["bits"]).reshape(-1, 3).tolist()} == {
        (round(bright), round(dark), round(dark))
    }


def test_a_preview_of_no_picture_is_refused(running):
    assert running.ask("POST", "/preview?model=colours", b"nothing").status == 400
