"""Compresses wheels as far as deflate goes, by Zopfli: `python scripts/recompress.py WHEEL ...`, after `pip install zopfli`.

What they hold stays the same, to the byte, and so do the hashes in their RECORD; the same wheel becomes the same file each
time.
"""

import struct
import sys
import zipfile
from pathlib import Path

import zopfli.zlib

_UTF8 = 0x800
_VERSION = 20
"""Of the format: what is needed to read deflated entries."""


def _deflated(data: bytes) -> bytes:
    """Without the two bytes and the checksum that zlib puts around it."""
    compressed: bytes = zopfli.zlib.compress(data)[2:-4]
    return compressed


def recompressed(wheel: zipfile.ZipFile) -> bytes:
    """The same entries in the same order, with their times and permissions. Formats of headers: APPNOTE.TXT of PKWARE."""
    entries, directory = bytearray(), bytearray()
    for entry in wheel.infolist():
        data, name = wheel.read(entry), entry.filename.encode()
        smaller = _deflated(data)
        year, month, day, hour, minute, second = entry.date_time
        date, time = (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2
        sizes = entry.CRC, len(smaller), len(data), len(name), 0
        start = _VERSION, _UTF8, zipfile.ZIP_DEFLATED, time, date
        made_by = entry.create_system << 8 | _VERSION
        place = 0, 0, entry.internal_attr, entry.external_attr, len(entries)
        directory += struct.pack("<4s6H3L5H2L", b"PK\1\2", made_by, *start, *sizes, *place) + name
        entries += struct.pack("<4s5H3L2H", b"PK\3\4", *start, *sizes) + name + smaller
    count = len(wheel.infolist())
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(entries), 0)
    return bytes(entries + directory + end)


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        with zipfile.ZipFile(path) as wheel:
            data = recompressed(wheel)
        print(f"{path.name}: {path.stat().st_size} bytes, now {len(data)}")
        path.write_bytes(data)


if __name__ == "__main__":
    main()
