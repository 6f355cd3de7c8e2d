"""What a picture may cost. A file of a few bytes can claim gigabytes or minutes, so its header is read here first.

A limit of pixels, which the user may move; the rest follows from it. Expensive decoders count their pixels several times.
"""

import os
import re
import struct
from collections.abc import Iterator
from typing import IO

from bitwright.errors import ImageError, PreprocessError

MAX_PIXELS = 50_000_000
"""The limit where nobody moves it: 200 MB of RGB, as PIL holds it."""
VARIABLE = "BITWRIGHT_MAX_PIXELS"
MAX_SIDE = 65_535
"""Pixels, JPEG's own limit. PIL needs some 16 bytes for each row, however short it is."""

COSTS = {"jpeg2k": 4, "webp": 3, "bmp_rle": 4, "ppm_plain": 25, "ppm": 50}
"""What a pixel costs by PIL's name of the decoder, 1 where it is not here: WebP and JPEG 2000 take 16 to 20 bytes a
pixel, the others are written in Python. So is a plain or an odd PGM, of other greys than 256 or 65,536."""

MAX_SCANS = 100
SCANS_OF_ALL = 16
"""A progressive JPEG passes over all its pixels once a scan: up to MAX_SCANS, and SCANS_OF_ALL at the limit of pixels."""
MAX_EXIF_SEGMENTS = 16
_FEW = 1_000  # segments, chunks or reads that any file may have
_READS = 5_000
_BYTES_PER_PIECE = 512  # beyond those, pieces must be as large as this on average


def pixel_limit() -> int:
    """The limit of pixels: $BITWRIGHT_MAX_PIXELS, else MAX_PIXELS. PreprocessError where that is no number above 0."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return MAX_PIXELS
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or int(text) == 0:
        raise PreprocessError(f"${VARIABLE} must be a whole number above 0; found {text!r}")
    return int(text)


def check_pixels(width: int, height: int, limit: int, decoder: str = "") -> None:
    """Raise ImageError where a picture of this size costs more than `limit` pixels, or has too long a side."""
    cost = COSTS.get(decoder, 1)
    if width * height * cost > limit:
        times = f", each as costly as {cost}" if cost > 1 else ""
        raise ImageError(f"{width} x {height} is {width * height} pixels{times}, more than {remedy(limit)}")
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"{width} x {height} has a side of more than {MAX_SIDE} pixels; scale or cut the picture first"
        )


def remedy(limit: int) -> str:
    """The end of a message about too many pixels: the limit, and what to do."""
    return (
        f"the limit of {limit}; scale the picture down first or, if you trust it, raise the limit with {VARIABLE} or "
        "bitwright --max-pixels"
    )


class Metered:
    """A file that is read from its start, for `Image.open`: how often, and how many bytes in all, is bounded.

    PIL's readers walk headers in Python, piece by piece, and a file may consist of nothing else.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._reads_left = _READS + size // _BYTES_PER_PIECE
        self._bytes_left = 4 * size + 2**20

    def read(self, size: int = -1) -> bytes:
        """Read as from any file. ImageError where it was read too often."""
        data = self._file.read(size)
        self._reads_left -= 1
        self._bytes_left -= len(data)
        if self._reads_left < 0 or self._bytes_left < 0:
            raise ImageError("its header is in too many pieces; save the picture again, without its metadata")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def unmetered(self) -> None:
        """Begin to read the picture itself, which some decoders do pixel by pixel."""
        self._reads_left = self._bytes_left = 2**62


def check_header(file: IO[bytes], limit: int) -> None:
    """Raise ImageError where a JPEG has too many scans or segments or lacks its end, a PNG has too many chunks, or a WebP too
    many pixels.

    These are the things that cost much before PIL says how large a picture is, or that it does not say. Linear in the
    size of the file.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(32)
    if start.startswith(b"\xff\xd8\xff"):
        _check_jpeg(file, _FEW + size // _BYTES_PER_PIECE, limit)
    elif start.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(file, _FEW + size // _BYTES_PER_PIECE)
    elif start.startswith(b"RIFF") and start[8:12] == b"WEBP" and (sides := _webp_size(start)):
        check_pixels(*sides, limit, "webp")


_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")  # RST0 to RST7 are left out: they belong to the coded pixels
_BLOCK = 2**18
_HEAD = 20  # bytes from a marker on that its reader needs
_SOI, _EOI, _SOS, _EXIF = 0xD8, 0xD9, 0xDA, b"Exif\0\0"
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without DHT, JPG and DAC


def _check_jpeg(file: IO[bytes], most: int, limit: int) -> None:
    scans = exif = pixels = channels = 0
    buffered = False  # all scans are held, 2 bytes a sample, until the last has come
    marker = None
    for segments, (marker, head) in enumerate(_jpeg_segments(file), 1):
        if marker in _FRAMES:
            height, width, channels = struct.unpack(">HHB", head[5:10])
            check_pixels(width, height, limit)
            pixels = max(pixels, width * height)
        buffered |= marker in _PROGRESSIVE or (marker == _SOS and head[4] < channels)
        exif += head[4:10] == _EXIF
        scans += marker == _SOS
        if scans > MAX_SCANS or scans * pixels > SCANS_OF_ALL * limit:
            raise ImageError(f"a JPEG with {scans} scans or more of {pixels} pixels; save it again, not progressive")
        if exif > MAX_EXIF_SEGMENTS:
            raise ImageError(
                f"a JPEG with more than {MAX_EXIF_SEGMENTS} EXIF segments; save it again, without metadata"
            )
        if segments > most:
            raise ImageError(f"a JPEG with more than {most} segments for its size; save it again, without metadata")
    if buffered and marker != _EOI:
        raise ImageError("a JPEG of several scans that is truncated: its end is missing; copy or save it again")


def _jpeg_segments(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each marker up to the picture's end, with that, each with _HEAD bytes from it on (zeros behind the end of the file).

    What lies between them, the coded pixels and fill bytes, is skipped by a search in C, block by block.
    """
    base, position = 0, 2
    block = b""
    while True:
        match = _MARKER.search(block, position - base)
        start = base + match.start() if match else max(position, base + len(block) - 1)
        if match is None or start + _HEAD > base + len(block):
            file.seek(start)
            more = file.read(_BLOCK)
            if start + len(more) <= base + len(block):  # the end: nothing new
                if match is None:
                    return
            else:
                base, block, position = start, more, start
                continue
        head = block[start - base : start - base + _HEAD].ljust(_HEAD, b"\0")
        marker = head[1]
        yield marker, head
        if marker == _EOI:
            return
        position = start + 2 + (0 if marker == _SOI else struct.unpack(">H", head[2:4])[0])


def _check_png(file: IO[bytes], most: int) -> None:
    position, chunks = 8, 0
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        chunks += 1
        if chunks > most:
            raise ImageError(f"a PNG with more than {most} chunks for its size; save it again")
        position += 12 + struct.unpack(">I", head[:4])[0]


def _webp_size(start: bytes) -> tuple[int, int] | None:
    """Width and height in the first 30 bytes; None where they make no sense, which PIL will say."""
    kind = start[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(start[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(start[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    else:
        return None
    return width, height
