import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.errors import ImageError
from bitwright.images.decode import _UPRIGHT, decode, open_image
from bitwright.images.image_limits import VARIABLE

REFUSED = {
    "broken.png": "not an image of a known format",
    "broken_data_stream.png": "unrecognized data stream",
    "decompression_bomb.gif": "limit",
    "flower-truncated.jpg": "truncated",
    "png_decompression_dos.png": "too large",
    "truncated_image.png": "truncated",
}
# PIL warns about EXIF that it can't read, in one of the files; the picture itself is fine.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PICTURE = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(("place", "what"), [("pipe", r"a FIFO \(pipe\)"), ("/dev/zero", "a device")])
def test_what_has_no_end_or_no_beginning_is_refused_unopened(tmp_path: Path, place: str, what: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.png").symlink_to(place)
    with pytest.raises(ImageError, match=rf"a\.png: expected a file, found {what}"):
        decode(tmp_path / "a.png")


def test_odd_images(data_dir: Path) -> None:
    paths = sorted((data_dir / "odd-images").iterdir())
    assert REFUSED.keys() <= {path.name for path in paths}
    for path in paths:
        if path.name in REFUSED:
            with pytest.raises(ImageError, match=REFUSED[path.name]) as error:
                decode(path)
            assert str(error.value).startswith(f"{path}: ")
        else:
            assert decode(path).mode == "RGB"
            assert decode(path, "L").mode == "L"


def test_16_bit_files_look_like_their_8_bit_twin(data_dir: Path) -> None:
    grey = np.asarray(decode(data_dir / "odd-images" / "hopper_gray.jpg", "L")).astype(int)
    wide = np.asarray(decode(data_dir / "odd-images" / "hopper_16bit.pgm", "L")).astype(int)
    assert np.abs(grey - wide).mean() < 8


def test_turned_photographs_are_upright(data_dir: Path) -> None:
    flat = {number: data_dir / "odd-images" / f"hopper_orientation_{number}.jpg" for number in (3, 6, 8)}
    upright = np.asarray(decode(data_dir / "odd-images" / "hopper.jpg")).astype(int)
    for path in flat.values():
        assert np.abs(np.asarray(decode(path)) - upright).mean() < 12, path
        with Image.open(path) as stored:
            assert np.abs(np.asarray(stored.convert("RGB")) - upright).mean() > 30, path


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    turn = _UPRIGHT.get(orientation)
    expected = Image.fromarray(PICTURE) if turn is None else Image.fromarray(PICTURE).transpose(turn)
    result = decode(encoded(Image.fromarray(PICTURE), kind, exif=exif, **options))
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))
    assert result.getexif().get(0x0112) is None  # so that nobody turns it again


def test_exif_that_is_no_exif_is_passed_over() -> None:
    data = encoded(Image.fromarray(PICTURE), exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(np.asarray(decode(data)), PICTURE)


def test_paths_bytes_and_files_are_alike(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(PICTURE))
    path = tmp_path / "picture.bin"  # the content decides, not the suffix
    path.write_bytes(data)
    with path.open("rb") as file:
        results = [decode(given) for given in (path, str(path), data, bytearray(data), memoryview(data), file)]
    for result in results:
        np.testing.assert_array_equal(np.asarray(result), PICTURE)


def test_the_first_frame_is_taken() -> None:
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    for kind in ("TIFF", "GIF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert decode(data, "L").getpixel((0, 0)) == 10


def test_transparency_survives_opening() -> None:
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette(bytes(range(9)))
    data = encoded(palette, transparency=1)
    assert open_image(data).mode == "P"
    assert decode(data, background=(9, 99, 199)).getpixel((0, 0)) == (9, 99, 199)


def test_missing_and_unreadable_paths(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.png: No such file"):
        decode(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="Is a directory"):
        decode(tmp_path)
    with pytest.raises(ImageError, match="null"):
        decode("a\0b.png")
    with pytest.raises(ImageError, match="image in memory: not an image of a known format"):
        decode(b"")


def test_formats_that_start_programs_are_not_tried() -> None:
    with pytest.raises(ImageError, match="not an image of a known format"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")


@pytest.mark.parametrize("limit", [None, 10**9, 20])
def test_the_pixel_limit_is_ours_whatever_pils_is(monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # 20: PIL only warns up to twice that
    monkeypatch.setenv(VARIABLE, "34")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ImageError, match="7 x 5 is 35 pixels, more than the limit of 34"):
            decode(encoded(Image.fromarray(PICTURE)))
        monkeypatch.setenv(VARIABLE, "35")
        assert decode(encoded(Image.fromarray(PICTURE))).size == (7, 5)


def test_the_warning_filters_stay_as_they_are(data_dir: Path) -> None:
    before = list(warnings.filters)
    with pytest.raises(ImageError):
        decode(data_dir / "odd-images" / "decompression_bomb.gif")
    assert warnings.filters == before


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_end_in_image_errors_only(data_dir: Path) -> None:
    random = np.random.default_rng(2)
    refused = 0
    for path in sorted((data_dir / "odd-images").iterdir()):
        original = np.frombuffer(path.read_bytes(), np.uint8)
        for attempt in range(64):
            damaged = original.copy()
            if attempt % 4 == 0:
                damaged = damaged[: random.integers(len(damaged))]
            else:  # flips in the header do the most harm
                reach = min(len(damaged), 64 if attempt % 4 == 1 else len(damaged))
                places = random.integers(0, reach, random.integers(1, 9))
                damaged[places] = random.integers(0, 256, len(places))
            try:
                assert decode(damaged.tobytes()).mode == "RGB"
            except ImageError as error:
                refused += 1
                assert str(error).startswith("image in memory: ")
    assert refused > 400
