import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from bitwright.errors import ImageError
from bitwright.images.colour import to_mode

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def raw(mode: str, array: np.ndarray) -> Image.Image:
    return Image.frombuffer(mode, array.shape[::-1], array.tobytes(), "raw", mode, 0, 1)


def test_the_wanted_mode_is_untouched() -> None:
    np.testing.assert_array_equal(pixels(to_mode(Image.fromarray(COLOURS), "RGB")), COLOURS)
    np.testing.assert_array_equal(pixels(to_mode(Image.fromarray(RAMP), "L")), RAMP)


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "RGBX", "CMYK"])
def test_modes_that_hold_rgb_exactly(mode: str) -> None:
    picture = Image.fromarray(COLOURS).convert("RGBA" if mode == "RGBa" else mode).convert(mode)
    np.testing.assert_array_equal(pixels(to_mode(picture, "RGB")), COLOURS)
    np.testing.assert_array_equal(pixels(to_mode(picture, "L")), pixels(Image.fromarray(COLOURS).convert("L")))


@pytest.mark.parametrize(("mode", "tolerance"), [("YCbCr", 3), ("HSV", 6)])  # one 8-bit step of hue is 6 levels
def test_modes_that_hold_rgb_nearly(mode: str, tolerance: int) -> None:
    result = pixels(to_mode(Image.fromarray(COLOURS).convert(mode), "RGB"))
    assert np.abs(result.astype(int) - COLOURS).max() <= tolerance


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lab(mode: str) -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    colour = Image.new("RGB", (4, 4), (180, 90, 60))
    lab = ImageCms.applyTransform(colour, to_lab)
    assert lab is not None
    result = pixels(to_mode(lab, mode))  # type: ignore[arg-type]
    assert np.abs(result.astype(int) - pixels(colour.convert(mode))).max() <= 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA"])
def test_grey_survives_every_mode_that_holds_it(mode: str) -> None:
    levels = np.where(RAMP > 127, 255, 0).astype(np.uint8) if mode == "1" else RAMP
    picture = Image.fromarray(levels)
    if mode == "La":
        picture = picture.convert("LA")
    picture = picture.convert("P").convert("PA") if mode == "PA" else picture.convert(mode)
    assert picture.mode == mode
    np.testing.assert_array_equal(pixels(to_mode(picture, "L")), levels)
    np.testing.assert_array_equal(pixels(to_mode(picture, "RGB")), np.repeat(levels[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N", "I"])
def test_16_bits_are_scaled_not_clipped(mode: str) -> None:
    values = np.array([[0, 128, 129, 256, 257], [32767, 32768, 65406, 65407, 65535]])
    types = {"I": "=i4", "I;16B": ">u2", "I;16N": "=u2"}
    picture = raw(mode, values.astype(types.get(mode, "<u2")))
    assert pixels(to_mode(picture, "L")).tolist() == [[0, 0, 1, 1, 1], [127, 128, 254, 255, 255]]
    assert to_mode(picture, "RGB").getpixel((4, 1)) == (255, 255, 255)


def test_floats_are_0_to_1() -> None:
    picture = Image.fromarray(np.array([[0.0, 0.25, 0.5, 1.0]], np.float32))
    assert pixels(to_mode(picture, "L")).tolist() == [[0, 64, 128, 255]]


@pytest.mark.parametrize("value", [-0.1, 1.5, 255.0, float("nan"), float("inf")])
def test_floats_without_a_known_white_are_refused(value: float) -> None:
    with pytest.raises(ImageError, match=r"floats must hold values in 0\.\.1; found"):
        to_mode(Image.fromarray(np.array([[0.5, value]], np.float32)), "L")


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_integers_beyond_16_bits_are_refused(value: int) -> None:
    with pytest.raises(ImageError, match=r"must hold 16-bit values, 0\.\.65535; found"):
        to_mode(Image.fromarray(np.array([[5, value]], np.int32)), "L")


def test_alpha_is_composited_on_the_background() -> None:
    picture = Image.new("RGBA", (3, 1), (100, 0, 200, 255))
    picture.putpixel((1, 0), (100, 0, 200, 0))
    picture.putpixel((2, 0), (100, 0, 200, 51))  # a fifth
    result = to_mode(picture, "RGB", (0, 255, 100))
    assert [result.getpixel((x, 0)) for x in range(3)] == [(100, 0, 200), (0, 255, 100), (20, 204, 120)]


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBa"])
def test_every_mode_with_alpha_shows_the_background(mode: str) -> None:
    if mode == "PA":
        clear = Image.new("P", (2, 2), 7).convert("PA")
        clear.putalpha(0)
    else:
        clear = Image.new("LA", (2, 2), (90, 0))
        clear = clear.convert(mode) if mode != "RGBa" else clear.convert("RGBA").convert("RGBa")
    assert clear.mode == mode
    assert to_mode(clear, "RGB", (10, 20, 30)).getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize(
    ("mode", "clear", "opaque", "marked"),
    [
        ("1", 0, 255, 0),
        ("L", 7, 8, 7),
        ("P", 1, 2, 1),
        ("P", 1, 2, b"\xff\x00\xff"),
        ("RGB", (1, 2, 3), (1, 2, 4), (1, 2, 3)),
        ("I;16", 500, 501, 500),
    ],
)
def test_one_transparent_colour_in_a_png(mode: str, clear: object, opaque: object, marked: object) -> None:
    picture = Image.new(mode, (2, 1))
    if mode == "P":
        picture.putpalette(bytes(range(9)))
    picture.putpixel((0, 0), clear)  # type: ignore[arg-type]
    picture.putpixel((1, 0), opaque)  # type: ignore[arg-type]
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=marked)
    result = to_mode(Image.open(file), "RGB", (250, 0, 250))
    assert result.getpixel((0, 0)) == (250, 0, 250)
    assert result.getpixel((1, 0)) != (250, 0, 250)


def test_a_file_that_breaks_while_it_is_read_lazily() -> None:
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, "PNG")
    broken = Image.open(io.BytesIO(file.getvalue()[:-200]))
    with pytest.raises(ImageError, match="cannot make RGB out of a picture of mode RGB"):
        to_mode(broken, "RGB")
