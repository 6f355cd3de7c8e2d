import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitwright.errors import ImageError, PreprocessError
from bitwright.images.preprocess import Preprocess
from bitwright.images.resize import INTERPOLATIONS

IMAGENET = Preprocess(size=(224, 224), resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_numbers_become_tuples() -> None:
    pre = Preprocess(8, mean=0.5)
    assert (pre.size, pre.mean, pre.std, pre.shape) == ((8, 8), (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (8, 8, 3))
    grey = Preprocess((4, 6), mode="L", std=2)
    assert (grey.mean, grey.std, grey.shape, grey.channels) == ((0.0,), (2.0,), (4, 6, 1), 1)
    assert pre == Preprocess([8, 8], mean=[0.5] * 3)  # type: ignore[arg-type]
    assert hash(pre) == hash(Preprocess(8, mean=0.5))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 0}, "size must be a whole number above 0"),
        ({"size": (8, -1)}, "size must be a whole number above 0"),
        ({"size": 8.0}, "size must be a whole number above 0"),
        ({"size": True}, "size must be a whole number above 0"),
        ({"size": (8, 8, 3)}, "size must be a whole number above 0"),
        ({"size": 100_000}, "size must have at most"),
        ({"resize": 7}, "resize 7 is smaller than size"),
        ({"size": (8, 16), "resize": 12}, "resize 12 is smaller than size"),
        ({"resize": (8, 7)}, "is smaller than size"),
        ({"resize": "8"}, "resize must be a whole number"),
        ({"mean": (0.5, 0.5)}, "mean must be one number or 3"),
        ({"mean": float("nan")}, "mean must be finite"),
        ({"mean": "0.5"}, "mean must be finite"),
        ({"mean": 10**400}, "mean must be finite"),
        ({"std": 0}, "std must be above 0"),
        ({"std": (1, -1, 1)}, "std must be above 0"),
        ({"std": float("inf")}, "std must be finite"),
        ({"std": 1e-300}, "must fit float32"),
        ({"scale": 0}, "scale must be above 0"),
        ({"scale": None}, "scale must be finite"),
        ({"mode": "GBR"}, "mode must be one of RGB, BGR, L; found 'GBR'"),
        ({"mode": ["RGB"]}, "mode must be one of"),
        ({"interpolation": "linear"}, "interpolation must be one of"),
        ({"background": (0, 0, 256)}, "background must be three whole numbers"),
        ({"background": 255}, "background must be three whole numbers"),
        ({"encoder": 8}, "encoder must be text"),
        ({"encoder": "planes"}, "encoder must be one of threshold"),
        ({"encoder": "thermometer:0"}, "encoder thermometer takes a whole number in 1..255"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(PreprocessError, match=message):
        Preprocess(**{"size": 8, **fields})


def test_affine_and_zero_point_of_the_usual_inputs() -> None:
    scale, offset = IMAGENET.affine()
    np.testing.assert_allclose(scale * 255 + offset, (1 - np.array(IMAGENET.mean)) / IMAGENET.std, rtol=1e-12)
    assert scale.dtype == offset.dtype == np.float64
    assert IMAGENET.zero_point().tolist() == [124, 116, 104]  # round(255 * mean)

    raw = Preprocess(32, scale=1)
    assert [array.tolist() for array in raw.affine()] == [[1.0] * 3, [0.0] * 3]
    assert raw.zero_point().tolist() == [0, 0, 0]

    centred = Preprocess(32, scale=1, mean=128, mode="L")
    assert [array.tolist() for array in centred.affine()] == [[1.0], [-128.0]]
    assert centred.zero_point().tolist() == [128]


def test_an_encoder_makes_bits_of_the_pixels() -> None:
    pre, plain = Preprocess((4, 6), encoder="thermometer"), Preprocess((4, 6))
    pixels = noise(2, 4, 6, 3)
    assert (pre.encoder, pre.shape, pre.codes_shape) == ("thermometer:8", (4, 6, 3), (24, 4, 6))
    assert (plain.codes_shape, plain.bits, plain.encode(pixels).tobytes()) == ((3, 4, 6), None, pixels.tobytes())
    planes = pre.encode(pixels)
    assert planes.shape == (2, 4, 6, 24)
    np.testing.assert_array_equal(planes.reshape(2, 4, 6, 3, 8).sum(axis=-1), pixels.astype(int) * 9 // 256)
    np.testing.assert_array_equal(pre.normalise(pixels), plain.normalise(pixels))


def test_only_an_encoder_is_written() -> None:
    plain, pre = Preprocess(8), Preprocess(8, encoder="dither")
    assert set(pre.to_json()) - set(plain.to_json()) == {"encoder"}
    assert Preprocess.from_json(json.loads(json.dumps(pre.to_json()))) == pre
    for encoder in (None, 8, ["dither"], "", "dither:2"):
        with pytest.raises(PreprocessError, match="encoder"):
            Preprocess.from_json({**plain.to_json(), "encoder": encoder})


@pytest.mark.parametrize(("mean", "zero_point"), [(-3.0, 0), (2.0, 255)])
def test_zero_point_stays_a_pixel(mean: float, zero_point: int) -> None:
    assert Preprocess(8, mean=mean).zero_point().tolist() == [zero_point] * 3


def test_normalise_is_the_affine_rounded_once() -> None:
    pre = Preprocess((5, 7), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    pixels = noise(3, 5, 7, 3)
    real = ((pixels.astype(np.float64) * pre.scale - np.array(pre.mean)) / np.array(pre.std)).astype(np.float32)
    result = pre.normalise(pixels)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, real.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("pixels", [noise(1, 5, 8, 3), noise(5, 7, 3), noise(1, 5, 7, 3).astype(np.float32)])
def test_normalise_refuses_other_shapes_and_types(pixels: np.ndarray) -> None:
    with pytest.raises(PreprocessError, match=r"expected uint8 \[N, 5, 7, 3\], found"):
        Preprocess((5, 7)).normalise(pixels)


def test_json_round_trip() -> None:
    for pre in (
        IMAGENET,
        Preprocess((3, 5), (4, 6), 0.1, 0.3, 1.0, "L", "bicubic", (1, 2, 3)),
        Preprocess(28, mode="L"),
    ):
        assert Preprocess.from_json(json.loads(json.dumps(pre.to_json()))) == pre


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sharpen": 1}, r"unknown keys \['sharpen'\]"),
        ({"scale": ...}, r"missing keys \['scale'\]"),
        ({"size": 224}, "size must be a list"),
        ({"size": [224, "224"]}, "size must be a whole number"),
        ({"resize": [256]}, "resize must be a whole number"),
        ({"resize": False}, "resize must be a whole number"),
        ({"mean": 0.5}, "mean must be a list"),
        ({"std": [1, 1, True]}, "std must be finite"),
        ({"mode": None}, "mode must be one of"),
        ({"background": "white"}, "background must be a list"),
    ],
)
def test_json_is_read_strictly(change: dict[str, Any], message: str) -> None:
    data = {key: value for key, value in {**IMAGENET.to_json(), **change}.items() if value is not ...}
    with pytest.raises(PreprocessError, match=message):
        Preprocess.from_json(data)


def test_json_must_be_an_object() -> None:
    with pytest.raises(PreprocessError, match="expected an object, found list"):
        Preprocess.from_json([])


def test_a_picture_of_the_right_size_is_untouched() -> None:
    pixels = noise(32, 48, 3)
    for resize in (None, (32, 48)):
        np.testing.assert_array_equal(Preprocess((32, 48), resize).apply(pixels), pixels)
        np.testing.assert_array_equal(Preprocess((32, 48), resize).apply(Image.fromarray(pixels)), pixels)
    np.testing.assert_array_equal(Preprocess((24, 28), resize=32).apply(pixels), pixels[4:28, 10:38])


def test_arrays_of_every_kind() -> None:
    grey = noise(8, 8)
    rgb, single = Preprocess(8), Preprocess(8, mode="L")
    np.testing.assert_array_equal(single.apply(grey), grey[..., None])
    np.testing.assert_array_equal(single.apply(grey[..., None]), grey[..., None])
    np.testing.assert_array_equal(rgb.apply(grey), np.repeat(grey[..., None], 3, axis=2))
    colour = noise(8, 8, 3)
    np.testing.assert_array_equal(single.apply(colour)[..., 0], np.asarray(Image.fromarray(colour).convert("L")))
    np.testing.assert_array_equal(rgb.apply(colour[::-1, ::-1]), colour[::-1, ::-1])


@pytest.mark.parametrize("shape", [(8, 8, 4), (8,), (0, 8, 3), (1, 8, 8, 3)])
def test_arrays_that_are_no_picture_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="expected a uint8 array"):
        Preprocess(8).apply(noise(*shape))
    with pytest.raises(ImageError, match="found float32"):
        Preprocess(8).apply(np.zeros((8, 8, 3), np.float32))


def test_transparent_pixels_take_the_background() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 100, 50, 0))
    assert Preprocess(8).apply(clear).min() == 255
    assert (Preprocess(8, background=(1, 2, 3)).apply(clear) == (1, 2, 3)).all()


def test_a_picture_that_would_grow_without_bound_is_refused() -> None:
    with pytest.raises(ImageError, match="more than the limit"):
        Preprocess(224).apply(np.zeros((1, 10_000), np.uint8))


def test_without_resize_the_picture_just_covers_the_size() -> None:
    # The left half is black: after covering a square, the crop's middle column is where black meets white.
    picture = np.zeros((20, 60), np.uint8)
    picture[:, 30:] = 255
    result = Preprocess((10, 10), mode="L", interpolation="nearest").apply(picture)[..., 0]
    assert (result == [0] * 5 + [255] * 5).all()
    wide = Preprocess((10, 30), mode="L", interpolation="nearest").apply(picture)[..., 0]
    assert (wide == [0] * 15 + [255] * 15).all()
    tall = Preprocess((40, 10), mode="L", interpolation="nearest").apply(picture)[..., 0]
    assert (tall == [0] * 5 + [255] * 5).all()


@pytest.mark.parametrize("height", [1, 7, 31, 32, 33, 64])
@pytest.mark.parametrize("width", [1, 9, 32, 47, 65])
@pytest.mark.parametrize("size", [(32, 32), (17, 40), (40, 17)])
def test_every_picture_fits_every_size(height: int, width: int, size: tuple[int, int]) -> None:
    assert Preprocess(size).apply(noise(height, width, 3)).shape == (*size, 3)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [32, 37, 50, (33, 60), None])
def test_pixels_are_torchvisions(torchvision: Any, interpolation: str, resize: Any) -> None:
    transforms = torchvision.transforms
    theirs = transforms.Compose(
        [
            transforms.Resize(resize or 31, getattr(transforms.InterpolationMode, interpolation.upper())),
            transforms.CenterCrop(31),
        ]
    )
    ours = Preprocess(31, resize, interpolation=interpolation)
    for height, width in [(31, 31), (32, 32), (37, 64), (100, 33), (45, 200), (64, 63), (20, 20), (97, 98), (5, 19)]:
        picture = Image.fromarray(noise(height, width, 3))
        np.testing.assert_array_equal(ours.apply(picture), np.asarray(theirs(picture)), f"{height} x {width}")


def test_normalise_is_torchvisions(torchvision: Any) -> None:
    transforms = torchvision.transforms
    picture = Image.fromarray(noise(32, 32, 3))
    pre = Preprocess(32, mean=IMAGENET.mean, std=IMAGENET.std)
    theirs = transforms.Compose([transforms.ToTensor(), transforms.Normalize(IMAGENET.mean, IMAGENET.std)])(picture)
    np.testing.assert_allclose(pre.normalise(pre.apply(picture)[None])[0], theirs.numpy(), rtol=0, atol=1e-6)


def test_interpolations_differ() -> None:
    results = {Preprocess(8, interpolation=name).apply(noise(20, 20, 3)).tobytes() for name in INTERPOLATIONS}
    assert len(results) == len(INTERPOLATIONS)


def test_bgr_is_rgb_with_its_channels_turned_round() -> None:
    means, stds = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    rgb = Preprocess((6, 8), resize=9, mean=means, std=stds)
    bgr = Preprocess((6, 8), resize=9, mean=means[::-1], std=stds[::-1], mode="BGR")
    picture = Image.fromarray(noise(20, 30, 4), "RGBA")
    pixels = bgr.apply(picture)
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, rgb.apply(picture)[..., ::-1])
    np.testing.assert_array_equal(bgr.apply(noise(20, 30, 3)), rgb.apply(noise(20, 30, 3))[..., ::-1])
    grey = Image.fromarray(noise(20, 30))
    np.testing.assert_array_equal(bgr.apply(grey), rgb.apply(grey))
    np.testing.assert_array_equal(bgr.normalise(pixels[None]), rgb.normalise(rgb.apply(picture)[None])[:, ::-1])
    assert Preprocess.from_json(bgr.to_json()) == bgr
    assert (bgr.channels, bgr.colours) == (3, "RGB")
