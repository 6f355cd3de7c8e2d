"""Files that are cheap to send and costly to open, and a process that opens them and measures what that took."""

import io
import json
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def zeros(count: int) -> bytes:
    """A zlib stream of so many zero bytes, made from one block that is repeated."""
    size = 2**20
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, wbits=-15)
    end = rest.compress(bytes(count % size)) + rest.flush()
    return b"\x78\x9c" + block * (count // size) + end + struct.pack(">HH", count % 65521, 1)


def png(width: int, height: int, depth: int = 8, colour: int = 0, before: bytes = b"", after: bytes = b"") -> bytes:
    """Black; colour 0 is grey, 2 RGB, 6 RGBA."""
    bytes_per_row = 1 + width * depth * {0: 1, 2: 3, 6: 4}[colour] // 8
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zeros(bytes_per_row * height))
    return b"\x89PNG\r\n\x1a\n" + header + before + data + after + chunk(b"IEND")


def jpeg(size: int = 8, more: bytes = b"", scans: int = 0, **options: object) -> bytes:
    """Black and grey, with `more` behind the first marker, and the last scan repeated so many times."""
    data = encoded(Image.new("L", (size, size)), "JPEG", **options)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:2] + more + data[2:-2] + last * scans + data[-2:]


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0"


def gif(more: bytes) -> bytes:
    data = encoded(Image.new("L", (8, 8)), "GIF")
    behind_palette = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:behind_palette] + more + data[behind_palette:]


def jpeg2000(width: int, height: int, more: bytes = b"") -> bytes:
    """Black. All packets are empty, so that a small picture's are good for any size."""
    data = bytearray(encoded(Image.new("RGB", (64, 64)), "JPEG2000"))
    box, marker = data.index(b"ihdr") + 4, data.index(b"\xff\x51") + 6
    data[box : box + 8] = struct.pack(">II", height, width)
    for at in (marker, marker + 16):  # the picture's size, and its one tile's
        data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data[:12] + more + data[12:])


def webp(width: int, height: int) -> bytes:
    """Black, without loss: 34 bytes whatever the size, which stands in 14 bits each."""
    data = bytearray(encoded(Image.new("RGB", (64, 64)), "WEBP", lossless=True, method=0))
    assert len(data) == 34
    rest = int.from_bytes(data[21:25], "little") >> 28
    data[21:25] = (width - 1 | height - 1 << 14 | rest << 28).to_bytes(4, "little")
    return bytes(data)


def tiff(*entries: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """A TIFF of entries (tag, type, count, value), with `data` behind them."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4) + data


def tiff_of_one_tile(side: int) -> bytes:
    """10 x 10 pixels in a deflated tile of `side` x `side`."""
    sizes = [(tag, 4, 1, value) for tag, value in ((256, 10), (257, 10), (322, side), (323, side))]
    rest = [(tag, 3, 1, value) for tag, value in ((258, 8), (259, 8), (262, 1), (277, 1))]
    tile = zeros(side * side)
    return tiff(*sizes, *rest, (324, 4, 1, 14 + 12 * 10), (325, 4, 1, len(tile)), data=tile)


def bmp(width: int, height: int) -> bytes:
    """Run-length encoded, 16 colours."""
    row = b"\xff\x00" * (width // 255) + bytes((width % 255, 0, 0, 0))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 4, 2, len(row) * height, 0, 0, 16, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 64) + header + bytes(64) + row * height


def cut(data: bytes) -> bytes:
    """The last tenth is missing."""
    return data[: len(data) * 9 // 10]


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "jpeg-2000-scans": (lambda: jpeg(3000, scans=2000, progressive=True), "scans"),
    "jpeg-49m-progressive-cut": (
        lambda: cut(encoded(Image.new("RGB", (7000, 7000), "red"), "JPEG", progressive=True, subsampling=0)),
        "truncated",
    ),
    "jpeg-500-exif": (lambda: jpeg(more=segment(0xE1, EXIF + bytes(65000)) * 500), "EXIF segments"),
    "jpeg-2m-comments": (lambda: jpeg(more=segment(0xFE, b"") * 2_000_000), "segments for its size"),
    "jpeg-20m-fill": (lambda: jpeg(more=b"\xff" * 20_000_000), "too many pieces"),
    "png-1x89m": (lambda: png(1, 89_000_000), "limit of 50000000"),
    "png-1x49m": (lambda: png(1, 49_000_000), "side of more than 65535"),
    "png-rgba16": (lambda: png(9459, 9459, 16, 6), "limit of 50000000"),
    "png-1m-chunks": (lambda: png(8, 8, before=chunk(b"teST") * 1_000_000), "chunks for its size"),
    "png-1m-chunks-behind": (lambda: png(8, 8, after=chunk(b"teST") * 1_000_000), "chunks for its size"),
    "png-1m-idat": (lambda: png(8, 8, before=chunk(b"IDAT") * 1_000_000), "chunks for its size"),
    "webp-16383x5461": (lambda: webp(16383, 5461), "as costly as 3"),
    "jp2-9459": (lambda: jpeg2000(9459, 9459), "as costly as 4"),
    "jp2-2m-boxes": (lambda: jpeg2000(64, 64, b"\0\0\0\x08free" * 2_000_000), "too many pieces"),
    "gif-2m-comments": (lambda: gif(b"!\xfe\0" * 2_000_000), "too many pieces"),
    "gif-one-comment": (lambda: gif(b"!\xfe" + (b"\xff" + bytes(255)) * 40_000 + b"\0"), "too many pieces"),
    "tiff-60k-tags": (lambda: tiff(*((tag, 1, 700_000, 8) for tag in range(1, 60_000))), "too many pieces"),
    "tiff-one-tile": (lambda: tiff_of_one_tile(30_000), "limit of 50000000"),
    "ppm-comment": (lambda: b"P6 #" + bytes(20_000_000) + b"\n2 2 255\n" + bytes(12), "too many pieces"),
    "pgm-plain": (lambda: b"P2 3000 3000 255\n" + b"0 " * 9_000_000, "as costly as 25"),
    "ppm-100-levels": (lambda: b"P6 2000 2000 100\n" + bytes(12_000_000), "as costly as 50"),
    "bmp-rle4": (lambda: bmp(10_000, 5_000), "as costly as 4"),
}


def measure(data: bytes) -> dict[str, Any]:
    """CPU seconds and the peak of memory, in MB, of decoding this; and what was said."""
    from bitwright.errors import ImageError
    from bitwright.images.decode import decode

    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is held now
    start = time.process_time()
    try:
        said = f"accepted: {decode(data).size}"
    except ImageError as error:
        said = str(error)
    seconds = time.process_time() - start
    status = Path("/proc/self/status").read_text()
    peak_kb = int(status.split("VmHWM:")[1].split()[0])
    return {"said": said, "seconds": seconds, "peak_mb": peak_kb / 1024}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))  # spares the machine where a bomb goes off
    from tests.images.more_bombs import MORE_BOMBS

    all_bombs = BOMBS | MORE_BOMBS
    for name in sys.argv[1:] or all_bombs:
        print(json.dumps({"name": name, **measure(all_bombs[name][0]())}), flush=True)
