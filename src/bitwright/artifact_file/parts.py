"""JSON read part by part, so that little is ever built of a document that is refused in the end.

A parser that builds a whole document first takes up to 28 times its size for one that is all brackets or keys. Here the reader
walks through objects and lists of any length, and only the parts in them are built, each of MAX_PART bytes at most.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from bitwright.artifact_file.limits import MAX_DEPTH, MAX_KEYS, MAX_PART
from bitwright.json_keys import TwiceError, each_key_once

_SLICES = (2**11, 2**15, MAX_PART)  # most parts are small, and copying what is behind them would take long
_LAST_SPACE = 0x20
_PLAIN_KEY = re.compile(rb'[ \t\n\r]*"([^"\\\0-\x1f]{,500})"[ \t\n\r]*:')
_SPACE = re.compile(rb"[ \t\n\r]*")
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON knows")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.50} does not fit a float")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=each_key_once, parse_constant=_no_constant, parse_float=_finite)


def lone_surrogate(value: Any) -> str | None:
    """JSON can escape half of a surrogate pair, which is no text: it cannot be printed, nor be handed to C++."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return str(error.object[error.start])
    return None


def _nesting(value: Any) -> int:
    """In how many lists and objects the innermost value lies."""
    inside, depth = [value], -1
    while inside:
        depth += 1
        inside = [
            item
            for outer in inside
            if isinstance(outer, list | dict)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


class Parts:
    """A place in the UTF-8 of a document, which goes on as parts are read. ValueError and RecursionError refuse it."""

    def __init__(self, data: bytes, at: int, end: int, depth: int = 0) -> None:
        self.data, self.at, self._end, self._depth = data, at, end, depth

    def next(self) -> str:
        """The sign with which the next value begins, or that stands between two; empty at the end."""
        if self.at < self._end and self.data[self.at] <= _LAST_SPACE:
            match = _SPACE.match(self.data, self.at, self._end)
            assert match is not None
            self.at = match.end()
        return chr(self.data[self.at]) if self.at < self._end else ""

    def part(self) -> Any:
        """The value here."""
        self.next()
        for size in _SLICES:
            stop = min(self.at + size, self._end)
            cut = stop < self._end
            try:
                text, _ = codecs.utf_8_decode(self.data[self.at : stop], "strict", not cut)
                value, end = _DECODER.raw_decode(text)
            except TwiceError:
                raise
            except ValueError as error:
                if size < MAX_PART and cut:
                    continue
                larger = f", or longer than {MAX_PART:,} bytes" if cut else ""
                raise ValueError(f"what begins at byte {self.at} is damaged{larger} ({error})") from error
            if cut and end == len(text):  # a number may go on
                continue
            if "\\u" in text[:end] and (half := lone_surrogate(value)):
                raise ValueError(f"it holds text with a lone surrogate, {half!r}")
            opened = text.count("[", 0, end) + text.count("{", 0, end)
            if opened >= MAX_DEPTH - self._depth and _nesting(value) >= MAX_DEPTH - self._depth:
                raise ValueError(
                    f"what begins at byte {self.at} is nested too deep, expected {MAX_DEPTH} levels at most"
                )
            self.at += end if text.isascii() else len(text[:end].encode())
            return value
        raise ValueError(f"what begins at byte {self.at} is longer than {MAX_PART:,} bytes")

    def long_text(self) -> str:
        """The string here: of any length where it is of ASCII alone, else a part."""
        whole = _TEXT.match(self.data, self.at, self._end)
        if whole is None or not whole[0].isascii():
            return str(self.part())
        text: str = scanstring(str(whole[0], "ascii"), 1)[0]
        if not text.isascii():
            return str(self.part())
        self.at = whole.end()
        return text

    def members(self) -> Iterator[str]:
        """The keys of the object here. Behind each, who asks reads its value."""
        known = set[str]()
        for _ in self._each("{", "}"):
            if plain := _PLAIN_KEY.match(self.data, self.at, self._end):
                key, self.at = plain[1].decode(), plain.end()
            elif self.next() == '"':
                key = self.part()
                self._take(":")
            else:
                raise ValueError(f"expected a key at byte {self.at}")
            if len(known) == MAX_KEYS:
                raise ValueError(f"expected at most {MAX_KEYS:,} keys in one object")
            if key in known:
                raise TwiceError(f"the key {key!r:.100} stands twice in one object")
            known.add(key)
            yield key

    def items(self) -> Iterator[None]:
        """Once for each item of the list here, which who asks reads."""
        return self._each("[", "]")

    def finish(self) -> None:
        """ValueError where something follows."""
        if self.next():
            raise ValueError(f"something follows the document at byte {self.at}")

    def _each(self, begin: str, end: str) -> Iterator[None]:
        self._take(begin)
        self._depth += 1
        if self.next() != end:
            yield
            while self.next() != end:
                self._take(",")
                yield
        self._depth -= 1
        self.at += 1

    def _take(self, sign: str) -> None:
        if self.next() != sign:
            raise ValueError(f"expected {sign} at byte {self.at}")
        self.at += 1
