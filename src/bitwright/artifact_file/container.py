"""The container of an artifact: a safetensors file, read in place. Nothing is copied, and nothing but Python allocates.

    bytes 0..7     length of the header, little-endian
    header         JSON: {"__metadata__": {text: text}, NAME: {"dtype", "shape", "data_offsets": [begin, end]}, ...}
    tensors        one behind the other: no byte is left out, and none is in two of them
The library's own reader copies each tensor, and its panic, where memory runs out there, is no exception that callers expect.
"""

import json
from typing import Any, NamedTuple

from bitwright.json_keys import each_key_once

MAX_HEADER_BYTES = 100_000_000
MAX_RANK = 32
MAX_NUMBER = 2**63


class Entry(NamedTuple):
    """A tensor: its type as the file names it, its shape, and its bytes, which are the file's own."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def read_container(data: bytes) -> tuple[dict[str, str], dict[str, Entry]]:
    """The metadata and the tensors of a file. ValueError or RecursionError says what is wrong with it."""
    if len(data) < 8:
        raise ValueError(f"{len(data)} bytes, of which the length of a header alone takes 8")
    end = 8 + int.from_bytes(data[:8], "little")
    if end > len(data) or end > 8 + MAX_HEADER_BYTES:
        raise ValueError(f"a header of {end - 8} bytes in a file of {len(data)}")
    text = data[8:end].decode()
    if not text.startswith("{"):
        raise ValueError(f"a header that begins with {text[:1]!r}")
    header = json.loads(text, object_pairs_hook=each_key_once, parse_constant=_no_number, parse_float=_no_number)
    metadata = header.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not {*map(type, metadata.values())} <= {str}:
        raise ValueError("metadata that is not text by names")
    places = sorted((*_place(name, entry), name) for name, entry in header.items())
    whole, place = memoryview(data)[end:], 0
    for begin, stop, name in places:
        if begin != place:
            raise ValueError(f"tensor {name!r:.100} begins at byte {begin}, expected {place}")
        place = stop
    if place != len(whole):
        raise ValueError(f"{len(whole)} bytes of tensors, of which the header knows {place}")
    return metadata, {
        name: Entry(header[name]["dtype"], tuple(header[name]["shape"]), whole[begin:stop])
        for begin, stop, name in places
    }


def _place(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor begins and ends."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r:.100} without dtype, shape and data_offsets, or with more")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(entry["dtype"], str) or not _are_sizes(shape) or len(shape) > MAX_RANK:
        raise ValueError(f"tensor {name!r:.100} has no dtype or shape: {entry['dtype']!r:.50}, {shape!r:.100}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"tensor {name!r:.100} lies nowhere: {offsets!r:.100}")
    return offsets[0], offsets[1]


def _are_sizes(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < MAX_NUMBER for n in numbers)


def _no_number(text: str) -> float:
    raise ValueError(f"{text:.50} is no whole number")
