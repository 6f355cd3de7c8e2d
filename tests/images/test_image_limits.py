"""A file that claims more than it is costs less than a second and 300 MB, refused or not."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bitwright.cli import app
from bitwright.cli.app import bitwright, main
from bitwright.errors import ImageError, PreprocessError
from bitwright.images import image_limits
from bitwright.images.decode import decode
from bitwright.images.image_limits import (
    MAX_PIXELS,
    VARIABLE,
    Metered,
    _jpeg_segments,
    check_header,
    check_pixels,
    pixel_limit,
)
from tests.images import image_bombs
from tests.images.image_bombs import EXIF, chunk, encoded, jpeg, jpeg2000, png, segment, webp
from tests.images.more_bombs import MORE_BOMBS

BOMBS = image_bombs.BOMBS | MORE_BOMBS
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, Any]]:
    """What each bomb took, in a process of their own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.images.image_bombs"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    return {record["name"]: record for record in map(json.loads, run.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(measured: dict[str, dict[str, Any]], name: str) -> None:
    record = measured[name]
    assert BOMBS[name][1] in record["said"], record
    assert record["seconds"] < 1, record
    assert record["peak_mb"] < 300, record


def test_what_the_bombs_are_made_of_is_sound() -> None:
    # So that they are refused for their size alone.
    small = [png(9, 7), png(9, 7, 16, 6), webp(9, 7), jpeg2000(64, 64), jpeg(8, scans=3, progressive=True)]
    for data in (*small, png(9, 7, before=chunk(b"teST") * 10), jpeg(more=segment(0xFE, b"word") * 10)):
        assert not np.asarray(decode(data, "L", background=(0, 0, 0))).any()


def test_ordinary_files_are_within_the_limits() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8))
    for options in ({"progressive": True}, {"restart_marker_blocks": 1}, {"subsampling": 0, "quality": 100}):
        assert decode(encoded(noise, "JPEG", **options)).size == (800, 600)
    data = encoded(noise, "PNG")
    start, body = data.index(b"IDAT") - 4, zlib_body(data)
    pieces = b"".join(chunk(b"IDAT", body[at : at + 1024]) for at in range(0, len(body), 1024))
    np.testing.assert_array_equal(np.asarray(decode(data[:start] + pieces + chunk(b"IEND"))), np.asarray(noise))


@pytest.mark.parametrize("options", [{"progressive": True}, {"progressive": True, "subsampling": 0, "quality": 100}])
@pytest.mark.parametrize("missing", [1, 2, 100, 3000])
def test_a_progressive_jpeg_without_its_end_is_refused_before_it_is_decoded(
    options: dict[str, Any], missing: int
) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    data = encoded(noise, "JPEG", **options)
    check_header(io.BytesIO(data), MAX_PIXELS)
    with pytest.raises(OSError, match="truncated"):  # what Pillow says, after all the work
        Image.open(io.BytesIO(data[:-missing])).load()
    with pytest.raises(ImageError, match=r"truncated.*copy or save it again"):
        check_header(io.BytesIO(data[:-missing]), MAX_PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "JPEG2000", "JPEG", "WEBP"])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_beyond_pillows_own_limit_gets_our_message(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow warns of more, and refuses the double
    data = encoded(Image.new("L", (40, 10)), kind)
    with pytest.raises(ImageError, match=r"the limit of 150; .*--max-pixels"):
        decode(data, max_pixels=150)
    with pytest.raises(ImageError, match=r"Pillow's; .*MAX_IMAGE_PIXELS = None"):
        decode(data, max_pixels=10_000)


def test_the_commands_know_no_limit_but_their_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    seen = []

    @click.command()
    def look() -> None:
        seen.append(decode(encoded(Image.new("L", (40, 10)), "TIFF")).size)

    monkeypatch.setattr(app.Commands, "get_command", lambda *given: look)
    CliRunner().invoke(bitwright, ["look"], catch_exceptions=False)
    assert seen == [(40, 10)]
    assert Image.MAX_IMAGE_PIXELS == 100


def zlib_body(data: bytes) -> bytes:
    """The contents of a PNG's IDAT chunks."""
    body, at = b"", 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            body += data[at + 8 : at + 8 + size]
        at += 12 + size
    return body


def test_as_many_scans_and_exif_segments_as_are_allowed() -> None:
    data = jpeg(8, progressive=True)
    own = data.count(b"\xff\xda")
    assert decode(jpeg(8, scans=100 - own, progressive=True)).size == (8, 8)
    with pytest.raises(ImageError, match="101 scans"):
        decode(jpeg(8, scans=101 - own, progressive=True))
    assert decode(jpeg(more=segment(0xE1, EXIF) * 16)).size == (8, 8)
    with pytest.raises(ImageError, match="more than 16 EXIF"):
        decode(jpeg(more=segment(0xE1, EXIF) * 17))


def test_a_large_picture_may_have_fewer_scans() -> None:
    data = jpeg(64, scans=30, progressive=True)
    scans = data.count(b"\xff\xda")
    enough = -(-64 * 64 * scans // 16)
    assert decode(data, max_pixels=enough).size == (64, 64)
    with pytest.raises(ImageError, match=f"{scans} scans or more of 4096 pixels"):
        decode(data, max_pixels=enough - 1)


def test_what_is_behind_the_picture_does_not_count() -> None:
    assert decode(jpeg(8) + jpeg(8, scans=200, progressive=True)).size == (8, 8)  # as in an MPO, or a motion photo


@pytest.mark.parametrize("block", [20, 21, 33, 64])
def test_segments_are_found_whatever_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    more = segment(0xE1, EXIF + bytes(range(256))) + b"\xff\xff\xff" + segment(0xFE, b"\xff\xda\xff\xd9")
    data = encoded(noise, "JPEG", progressive=True, restart_marker_blocks=2)
    data = data[:2] + more + data[2:]
    for cut in (len(data), len(data) - 1, len(data) - 3, 60):
        whole = list(_jpeg_segments(io.BytesIO(data[:cut])))
        with monkeypatch.context() as patch:
            patch.setattr(image_limits, "_BLOCK", block)
            assert list(_jpeg_segments(io.BytesIO(data[:cut]))) == whole
    names = [marker for marker, _ in _jpeg_segments(io.BytesIO(data))]
    assert names[:2] == [0xE1, 0xFE]
    assert names.count(0xDA) == 10
    assert names.count(0xC2) == 1


def test_the_limit_of_pixels_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (7, 5)), "PNG")
    assert pixel_limit() == MAX_PIXELS
    with pytest.raises(ImageError, match="7 x 5 is 35 pixels, more than the limit of 34"):
        decode(data, max_pixels=34)
    monkeypatch.setenv(VARIABLE, "34")
    with pytest.raises(ImageError, match=rf"34; .* {VARIABLE} or bitwright --max-pixels"):
        decode(data)
    assert decode(data, max_pixels=35).size == (7, 5)
    monkeypatch.setenv(VARIABLE, "35")
    assert decode(data).size == (7, 5)


@pytest.mark.parametrize("text", ["", "0", "-1", "1e6", "many", "9" * 19])
def test_a_limit_that_is_no_number_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(PreprocessError, match=VARIABLE):
        decode(encoded(Image.new("L", (7, 5)), "PNG"))


def test_the_command_has_an_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    @click.command("look")
    def look() -> None:
        seen.append(pixel_limit())

    monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, "look"))
    monkeypatch.setitem(sys.modules, "bitwright.cli.look", SimpleNamespace(look=look))
    assert main(["--max-pixels", "1234", "look"]) == 0
    assert main(["look"]) == 0
    monkeypatch.setenv(VARIABLE, "77")
    assert main(["look"]) == 0
    assert main(["--max-pixels", "5", "look"]) == 0
    assert pixel_limit() == 77
    assert seen == [1234, MAX_PIXELS, 77, 5]
    assert main(["--max-pixels", "0", "look"]) == 2
    assert "--max-pixels" in capsys.readouterr().err
    assert "--max-pixels" in CliRunner().invoke(bitwright, ["--help"]).output


def test_sides_and_dear_decoders() -> None:
    check_pixels(65_535, 700, MAX_PIXELS)
    for sides in ((65_536, 1), (1, 65_536)):
        with pytest.raises(ImageError, match="side of more than 65535"):
            check_pixels(*sides, MAX_PIXELS)
    check_pixels(5, 5, 100, "jpeg2k")
    with pytest.raises(ImageError, match="26 pixels, each as costly as 4"):
        check_pixels(13, 2, 100, "jpeg2k")


@pytest.mark.parametrize("kind", [{"lossless": True}, {}, {"exif": EXIF}])
def test_a_webps_size_is_read_before_it_is_decoded(kind: dict[str, Any]) -> None:
    data = encoded(Image.new("RGB", (300, 200)), "WEBP", **kind)
    check_header(io.BytesIO(data), 3 * 300 * 200)
    with pytest.raises(ImageError, match="300 x 200"):
        check_header(io.BytesIO(data), 3 * 300 * 200 - 1)


def test_a_metered_file_is_a_file() -> None:
    file = Metered(io.BytesIO(b"abcdef"))
    assert (file.read(2), file.tell(), file.seek(-1, io.SEEK_END), file.read()) == (b"ab", 2, 5, b"f")
    with pytest.raises(ImageError, match="too many pieces"):
        list(iter(lambda: file.read(1), b"never"))
    file.unmetered()
    assert file.read(1) == b""


def test_files_that_cannot_seek(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *where: int) -> int:
            raise io.UnsupportedOperation("seek")

    assert decode(Pipe(png(9, 7))).size == (9, 7)
    (tmp_path / "p.png").write_bytes(png(9, 7))
    with (tmp_path / "p.png").open("rb") as file:
        file.read(5)
        assert decode(file).size == (9, 7)
        assert not file.closed
