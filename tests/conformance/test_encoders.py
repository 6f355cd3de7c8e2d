"""Every encoder in the table gives the bits that its definition says, which stand for what it says they do."""

import base64
from collections.abc import Callable

import numpy as np
import pytest

from bitwright.errors import PreprocessError
from bitwright.images.encoders import ENCODERS, Encoder, Levels, Pointwise, encoder
from bitwright.images.encoders.thermometer import Thermometer

SPECS = (
    *("threshold", "threshold:1", "threshold:100", "threshold:255", "threshold:otsu", "dither"),
    *("bitplanes", "bitplanes:1", "bitplanes:5", "thermometer", "thermometer:1", "thermometer:20", "thermometer:255"),
    str(Levels.of(Thermometer(5), "mine:5")),
)
every_spec = pytest.mark.parametrize("spec", SPECS)


def pictures(count: int = 2, height: int = 9, width: int = 14, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


def slow_threshold(picture: np.ndarray, option: int | str) -> np.ndarray:
    return picture[..., None] >= (slow_otsu(picture) if option == "otsu" else option)


def slow_otsu(picture: np.ndarray) -> int:
    """The threshold with the least sum of squares inside the two sides: the same as the greatest variance between them."""
    best, least = 128, np.inf
    for t in range(1, 256):
        sides = picture[picture < t].astype(float), picture[picture >= t].astype(float)
        if all(map(len, sides)):
            inside = sum(float(((side - side.mean()) ** 2).sum()) for side in sides)
            if inside < least - 1e-6:
                best, least = t, inside
    return best


def slow_dither(picture: np.ndarray, option: int | str) -> np.ndarray:
    """Errors in sixteenths, spread to the four neighbours that are still to come."""
    height, width = picture.shape
    error = np.zeros((height + 1, width + 2), int)
    bits = np.zeros((height, width, 1), int)
    for y in range(height):
        for x in range(width):
            v = min(max(int(picture[y, x]) + int(error[y, x + 1] / 16), 0), 255)
            bits[y, x, 0] = v > 128
            left = v - 255 * bits[y, x, 0]
            error[y, x + 2] += 7 * left
            for dx, share in ((0, 3), (1, 5), (2, 1)):
                error[y + 1, x + dx] += share * left
    return bits


def slow_bitplanes(picture: np.ndarray, option: int | str) -> np.ndarray:
    return np.array([[[int(c) for c in f"{p:08b}"[: int(option)]] for p in row] for row in picture.tolist()])


def slow_thermometer(picture: np.ndarray, option: int | str) -> np.ndarray:
    """Bit k is on where the pixel is at or above (k + 1) / (K + 1) of the way from 0 to 256."""
    count = int(option)
    return np.array(
        [[[p * (count + 1) >= 256 * (k + 1) for k in range(count)] for p in row] for row in picture.tolist()]
    )


def slow_levels(picture: np.ndarray, option: int | str) -> np.ndarray:
    _, weights, text, _ = str(option).split(":", 3)
    raw, count = base64.b64decode(text), len(weights.split(","))
    places = np.arange(256 * count).reshape(256, count)
    return np.array([[[raw[i // 8] >> (7 - i % 8) & 1 for i in places[p]] for p in row] for row in picture.tolist()])


SLOW: dict[str, Callable[[np.ndarray, int | str], np.ndarray]] = {
    "threshold": slow_threshold,
    "dither": slow_dither,
    "bitplanes": slow_bitplanes,
    "thermometer": slow_thermometer,
    "levels": slow_levels,
}


def option_of(found: Encoder) -> int | str:
    option = str(found).partition(":")[2]
    return int(option) if option.isdigit() else option


def test_the_table_is_keyed_by_name_and_covered_here():
    assert {key: kind.name for key, kind in ENCODERS.items()} == {key: key for key in ENCODERS}
    assert set(ENCODERS) == set(SLOW) == {spec.partition(":")[0] for spec in SPECS}


@every_spec
def test_the_bits_are_those_of_the_definition(spec):
    found, images = encoder(spec), pictures()
    planes = found.encode(images)
    assert planes.dtype == np.uint8
    assert planes.shape == (2, 9, 14, 3 * found.planes)
    assert planes.flags.c_contiguous
    for i, c in np.ndindex(2, 3):
        expected = SLOW[found.name](images[i, ..., c], option_of(found))
        np.testing.assert_array_equal(planes[i, ..., c * found.planes : (c + 1) * found.planes], expected)


@every_spec
def test_images_do_not_see_each_other_and_may_be_none(spec):
    found, images = encoder(spec), pictures(3)
    np.testing.assert_array_equal(found.encode(images)[1:2], found.encode(images[1:2]))
    assert found.encode(images[:0]).shape == (0, 9, 14, 3 * found.planes)
    assert found.encode(images[:, ::2, ::-1]).tobytes() == found.encode(images[:, ::2, ::-1].copy()).tobytes()


@every_spec
def test_the_spelling_is_read_back(spec):
    assert encoder(str(encoder(spec))) == encoder(spec)
    assert str(encoder(spec)).startswith(spec)


@every_spec
def test_bits_stand_for_pixels(spec):
    """Weights are above 0, black is the least and white the greatest; pixels alone get the level nearest to them."""
    found, levels = encoder(spec), np.arange(256)
    assert min(found.weights) > 0
    assert found.planes == len(found.weights)
    bits = found.of_levels(levels)
    assert bits.dtype == np.uint8
    assert bits.shape == (256, found.planes)
    assert set(np.unique(bits)) == {0, 1}
    reals = found.decode(bits)
    assert (np.diff(reals) >= 0).all()
    assert 0 <= reals[0] <= reals[-1] <= 255
    values = np.unique(reals)
    if spec not in ("threshold:1", "threshold:100", "threshold:255"):  # these say where the border is
        nearest = np.abs(levels[:, None] - values).min(axis=1)
        np.testing.assert_allclose(np.abs(levels - reals), nearest, atol=1 + 1e-9)  # Pillow's border is 128.5
    if isinstance(found, Pointwise):
        np.testing.assert_array_equal(
            found.encode(levels.astype(np.uint8).reshape(1, 16, 16, 1)).reshape(256, -1), bits
        )
        for value in values:  # about the mean of the pixels that have these bits
            assert abs(levels[reals == value].mean() - value) < 1


@pytest.mark.parametrize("spec", ["bitplanes:8", "thermometer:255"])
def test_with_all_planes_nothing_is_lost(spec):
    levels = np.arange(256)
    np.testing.assert_allclose(encoder(spec).decode(encoder(spec).of_levels(levels)), levels, atol=1e-9)


def test_dither_keeps_the_mean_of_areas():
    grey = np.full((1, 64, 64, 1), 77, np.uint8)
    assert abs(encoder("dither").encode(grey).mean() * 255 - 77) < 1


def test_otsu_follows_each_channel_and_has_a_rule_for_one_grey_level():
    dark = np.where(np.arange(16) < 8, 10, 40).astype(np.uint8)
    picture = np.stack([dark, dark + 200, np.full(16, 127), np.full(16, 128)], axis=-1).reshape(1, 4, 4, 4)
    planes = encoder("threshold:otsu").encode(picture.astype(np.uint8))
    np.testing.assert_array_equal(planes.reshape(16, 4)[:, 0], np.arange(16) >= 8)
    np.testing.assert_array_equal(planes.reshape(16, 4)[:, 1], np.arange(16) >= 8)
    assert not planes[..., 2].any()
    assert planes[..., 3].all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "must be one of threshold"),
        ("Thermometer", "must be one of threshold"),
        ("thermo", "found 'thermo'"),
        ("thermometer:", "a whole number in 1..255"),
        ("thermometer:0", "a whole number in 1..255"),
        ("thermometer:256", "a whole number in 1..255"),
        ("thermometer:08", "a whole number in 1..255"),
        ("thermometer:8:8", "a whole number in 1..255"),
        ("thermometer:٣", "a whole number in 1..255"),
        ("thermometer:8.0", "a whole number in 1..255"),
        ("bitplanes:9", "a whole number in 1..8"),
        ("bitplanes:-1", "a whole number in 1..8"),
        ("threshold:0", "a whole number in 1..255, or otsu"),
        ("threshold:Otsu", "a whole number in 1..255, or otsu"),
        ("dither:1", "nothing behind the name"),
        ("levels", "a base, weights, bits in base64 and a name"),
        ("levels:0.0:1.0:****:mine", "a base, weights, bits in base64 and a name"),
        ("levels:0.0:1.0:AAAA:mine", "the bits of 256 levels, 32 bytes for 1 weights"),
        (f"levels:0.0:-1.0:{'A' * 43}=:mine", "1 to 255 weights above 0"),
        (f"levels:nan:1.0:{'A' * 43}=:mine", "a finite base"),
        (f"levels:0.0:1.0:{'A' * 42}B=:mine", "in its shortest form"),
        (f"levels:0:1.0:{'A' * 43}=:mine", "in its shortest form"),
    ],
)
def test_what_is_no_encoder_is_refused(spec, message):
    with pytest.raises(PreprocessError, match=message):
        encoder(spec)
