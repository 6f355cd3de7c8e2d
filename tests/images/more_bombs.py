"""More files that are cheap to send and costly to open: claims in headers, texts and profiles that unpack, loops, frames."""

import struct
from collections.abc import Callable

from PIL import Image

from tests.images.image_bombs import bmp, chunk, encoded, gif, jpeg, png, segment, tiff, webp, zeros

BIG = 400_000_000
"""Bytes that a few hundred kB unpack to."""
SHORT, LONG = 3, 4  # types of a TIFF's entries


def jpeg_of(width: int, height: int, kind: str = "L", **options: object) -> bytes:
    """A small JPEG whose frame claims another size."""
    data = bytearray(encoded(Image.new(kind, (8, 8)), "JPEG", **options))
    frame = next(data.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data)
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png_of(width: int, height: int, depth: int, colour: int, interlaced: int = 0) -> bytes:
    """A header, and hardly any pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zeros(100)), chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def gif_of(width: int, height: int, frame: tuple[int, int]) -> bytes:
    """Sizes of the screen and of its one frame."""
    data = bytearray(encoded(Image.new("L", (8, 8)), "GIF"))
    at = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    data[6:10], data[at + 5 : at + 9] = struct.pack("<HH", width, height), struct.pack("<HH", *frame)
    return bytes(data)


def bmp_of(width: int, height: int, bits: int = 24, compression: int = 0, colours: int = 0) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + header + bytes(100)


def tiff_of(
    width: int, height: int, *more: tuple[int, int, int, int], compression: int = 1, data: bytes = bytes(64)
) -> bytes:
    """A grey picture of one strip."""
    entries = {256: (LONG, width), 257: (LONG, height), 258: (SHORT, 8), 259: (SHORT, compression), 262: (SHORT, 1)}
    entries |= {277: (SHORT, 1), 278: (LONG, height), 279: (LONG, len(data))}
    plain = [(tag, kind, 1, value) for tag, (kind, value) in entries.items() if tag not in {entry[0] for entry in more}]
    at = 14 + 12 * (len(plain) + len(more) + 1)
    return tiff(*plain, *more, (273, LONG, 1, at), data=data)


def looped(data: bytes) -> bytes:
    """A TIFF whose directory is followed by itself."""
    count = struct.unpack("<H", data[8:10])[0]
    end = 10 + 12 * count
    return data[:end] + struct.pack("<I", 8) + data[end + 4 :]


def vp8x(width: int, height: int, more: bytes = b"") -> bytes:
    """A WebP canvas, animated, of frames that are not there."""
    body = (
        b"WEBPVP8X"
        + struct.pack("<I", 10)
        + b"\x02\0\0\0"
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6) + more
    return b"RIFF" + struct.pack("<I", len(body)) + body


def frames(kind: str, count: int) -> bytes:
    pictures = [Image.new("L", (16, 16), shade % 256) for shade in range(count)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:])


MORE_BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "jpeg-65500x65500": (lambda: jpeg_of(65500, 65500), "limit of"),
    "jpeg-cmyk-30000": (lambda: jpeg_of(30000, 30000, "CMYK"), "limit of"),
    "jpeg-progressive-65500x800": (lambda: jpeg_of(65500, 800, progressive=True), "limit of"),
    "jpeg-0x0": (lambda: jpeg_of(0, 0), "not an image of a known format"),
    "jpeg-300-profiles": (lambda: jpeg(more=segment(0xE2, b"ICC_PROFILE\0\x01\xff" + bytes(65000)) * 300), "accepted"),
    "jpeg-100k-tables": (lambda: jpeg(more=segment(0xDB, b"\0" + bytes([1] * 64)) * 100_000), "segments for its size"),
    "jpeg-100k-huffman": (lambda: jpeg(more=segment(0xC4, bytes(17)) * 100_000), "segments for its size"),
    "jpeg-1m-restarts": (lambda: jpeg(more=b"\xff\xd0" * 1_000_000), "too many pieces"),
    "jpeg-mpo-300": (lambda: jpeg(more=segment(0xE2, b"MPF\0II*\0\x08\0\0\0" + bytes(60000)) * 300), "accepted"),
    "png-65535x65535": (lambda: png_of(65535, 65535, 1, 0), "limit of"),
    "png-2g-x-2g": (lambda: png_of(2**31 - 1, 2**31 - 1, 8, 6), "limit of"),
    "png-interlaced-9000": (lambda: png_of(9000, 9000, 16, 6, 1), "limit of"),
    "png-palette-7071-cut": (lambda: png_of(7071, 7071, 8, 3), "truncated"),
    "png-ztxt": (lambda: png(8, 8, before=chunk(b"zTXt", b"a\0\0" + zeros(BIG))), "MAX_TEXT_CHUNK"),
    "png-itxt": (lambda: png(8, 8, before=chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(BIG))), "MAX_TEXT_CHUNK"),
    "png-iccp": (lambda: png(8, 8, before=chunk(b"iCCP", b"a\0\0" + zeros(BIG))), "MAX_TEXT_CHUNK"),
    "png-ztxt-behind": (lambda: png(8, 8, after=chunk(b"zTXt", b"a\0\0" + zeros(BIG))), "MAX_TEXT_CHUNK"),
    "png-exif-20mb": (lambda: png(8, 8, before=chunk(b"eXIf", b"II*\0\x08\0\0\0" + bytes(20_000_000))), "accepted"),
    "png-pixels-unpack-to-more": (lambda: png(8, 8, before=chunk(b"IDAT", zeros(BIG))), "accepted"),
    "png-1000-frames": (lambda: frames("PNG", 1000), "chunks for its size"),
    "gif-65535x65535": (lambda: gif_of(65535, 65535, (8, 8)), "limit of"),
    "gif-frame-65535x65535": (lambda: gif_of(8, 8, (65535, 65535)), "limit of"),
    "gif-3000-frames": (lambda: frames("GIF", 3000), "accepted"),
    "gif-1m-extensions": (lambda: gif(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" * 1_000_000), "too many pieces"),
    "bmp-2g-x-2g": (lambda: bmp_of(2**31 - 1, 2**31 - 1), "limit of"),
    "bmp-upside-down": (lambda: bmp_of(40000, -40000, 1), "limit of"),
    "bmp-rle8-60000": (lambda: bmp_of(60000, 60000, 8, 1, 256), "limit of"),
    "bmp-4g-colours": (lambda: bmp_of(8, 8, 8, 0, 2**32 - 1), "Unsupported BMP"),
    "bmp-rle4-of-ends": (lambda: bmp(4, 1) + b"\0\0" * 10_000_000, "accepted"),
    "tiff-4g-x-4g": (lambda: tiff_of(2**32 - 1, 2**32 - 1), "limit of"),
    "tiff-deflated-strip": (lambda: tiff_of(8000, 8000, compression=8, data=zeros(BIG)), "limit of"),
    "tiff-1g-samples": (
        lambda: tiff_of(8, 8, (277, SHORT, 1, 65535), (258, SHORT, 1_000_000_000, 8)),
        "not an image of a known format",
    ),
    "tiff-looped": (lambda: looped(tiff_of(8, 8)), "accepted"),
    "tiff-1m-strips": (lambda: tiff_of(8, 8, (279, LONG, 1_000_000, 8)) + bytes(4_000_000), "accepted"),
    "tiff-lzw-60000": (lambda: tiff_of(60000, 60000, compression=5), "limit of"),
    "webp-lossy-16383": (lambda: webp(16383, 16383), "limit of"),
    "webp-canvas-16m-x-16m": (lambda: vp8x(2**24, 2**24), "limit of"),
    "webp-1m-chunks": (lambda: vp8x(8, 8, (b"XMP " + struct.pack("<I", 0)) * 1_000_000), "decoder object"),
    "webp-2000-frames": (lambda: frames("WEBP", 2000), "accepted"),
    "ppm-width-of-10m-digits": (lambda: b"P6 " + b"9" * 10_000_000 + b" 2 255\n", "Token too long"),
    "pbm-65535x65535": (lambda: b"P4 65535 65535\n" + bytes(100), "limit of"),
    "pbm-plain-spaces": (lambda: b"P1 9000 5000\n" + b" " * 20_000_000, "limit of"),
    "pfm-60000": (lambda: b"Pf\n60000 60000\n-1.0\n" + bytes(100), "limit of"),
}
