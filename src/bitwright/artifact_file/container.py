"""The container of an artifact: a safetensors file, read in place. No tensor is copied, and nothing but Python allocates.

    bytes 0..7     length of the header, little-endian
    header         JSON: {"__metadata__": {text: text}, NAME: {"dtype", "shape", "data_offsets": [begin, end]}, ...}
    tensors        one behind the other: no byte is left out, and none is in two of them
The library's own reader copies each tensor, and its panic, where memory runs out there, is no exception that callers expect.
"""

import math
import re
import sys
from typing import Any, NamedTuple

from bitwright.artifact_file.limits import MAX_HEADER_BYTES, MAX_RANK, MAX_TENSORS, SMALL_HEADER_BYTES
from bitwright.artifact_file.parts import Parts

_BITS = dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8) | dict.fromkeys(
    ("F64", "I64", "U64", "C64"), 64
)
_BITS |= dict.fromkeys(("F16", "BF16", "I16", "U16"), 16) | dict.fromkeys(("F32", "I32", "U32"), 32)
_BITS |= {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_NUMBERED = re.compile(rb"\\u(?!00[0-7])")


class Entry(NamedTuple):
    """A tensor: its type as the file names it, its shape, and where its bytes begin and end behind the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    stop: int


class Container(NamedTuple):
    """What a file holds: metadata by name, tensors by name, in the file's order, and the bytes behind the header."""

    metadata: dict[str, str]
    tensors: dict[str, Entry]
    whole: memoryview


def read_container(data: bytes) -> Container:
    """What is in a file. ValueError or RecursionError says what is wrong with it."""
    if len(data) < 8:
        raise ValueError(f"{len(data)} bytes, of which the length of a header alone takes 8")
    end = 8 + int.from_bytes(data[:8], "little")
    if end > len(data) or end > 8 + MAX_HEADER_BYTES:
        most = f", expected {MAX_HEADER_BYTES:,} at most" if end <= len(data) else ""
        raise ValueError(f"a header of {end - 8} bytes in a file of {len(data)}{most}")
    if data[8:9] != b"{":
        raise ValueError(f"a header that begins with {data[8 : min(9, end)]!r}")
    if (
        end > SMALL_HEADER_BYTES
        and data.find(b"\\u", 8, end) > 0
        and _NUMBERED.search(data[8:end].replace(rb"\\", b""))
    ):
        raise ValueError(f"a header of more than {SMALL_HEADER_BYTES:,} bytes that escapes characters by numbers")
    header = Parts(data, 8, end)
    metadata: dict[str, str] = {}
    tensors: dict[str, Entry] = {}
    for name in header.members():
        if name == "__metadata__":
            metadata = _metadata(header)
        elif len(tensors) == MAX_TENSORS:
            raise ValueError(f"expected at most {MAX_TENSORS:,} tensors")
        else:
            tensors[name] = _entry(name, header.part())
    header.finish()
    whole = memoryview(data)[end:]
    _expect_no_gaps(tensors, len(whole))
    return Container(metadata, tensors, whole)


def _metadata(header: Parts) -> dict[str, str]:
    if header.next() == "n":
        header.part()
        return {}
    if header.next() != "{":
        raise ValueError("metadata that is not text by names")
    found = {}
    for key in header.members():
        if header.next() != '"':
            raise ValueError("metadata that is not text by names")
        found[key] = header.long_text()
    return found


def _expect_no_gaps(tensors: dict[str, Entry], size: int) -> None:
    place = 0
    for name, entry in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if entry.begin != place:
            raise ValueError(f"tensor {name!r:.100} begins at byte {entry.begin}, expected {place}")
        place = entry.stop
    if place != size:
        raise ValueError(f"{size} bytes of tensors, of which the header knows {place}")


def _entry(name: str, entry: Any) -> Entry:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r:.100} without dtype, shape and data_offsets, or with more")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS or not _are_sizes(shape) or len(shape) > MAX_RANK:
        raise ValueError(f"tensor {name!r:.100} has no dtype or shape: {dtype!r:.50}, {shape!r:.100}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"tensor {name!r:.100} lies nowhere: {offsets!r:.100}")
    if 8 * (offsets[1] - offsets[0]) != math.prod(shape) * _BITS[dtype]:
        raise ValueError(f"tensor {name!r:.100} of {dtype} {shape} has {offsets[1] - offsets[0]} bytes")
    return Entry(sys.intern(dtype), tuple(shape), *offsets)


def _are_sizes(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < 2**63 for n in numbers)
