"""Keys of JSON objects: each once. Of two values for one key readers take one or the other: who checks a file might see
what nobody runs. For `json.loads(..., object_pairs_hook=each_key_once)`.
"""

from typing import Any


class TwiceError(ValueError):
    """A key stands twice in one object."""


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values; TwiceError where it has not each key once."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set[str]()
        for key, _ in pairs:
            if key in seen:
                raise TwiceError(f"the key {key!r:.100} stands twice in one object")
            seen.add(key)
    return found
