"""The document in a file: whatever else the JSON is, it is refused or harmless."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.artifact.sample import DOCUMENT, refuse, refused_or_good, with_document, with_text


@pytest.mark.parametrize(
    "text", ["", "{", "nul", "{'format': 1}", "\ufeff{}", '{"format": 1,}', "[NaN]", "Infinity", "1" * 5000]
)
def test_text_that_is_not_json_is_refused(text):
    refuse(with_text(text))


@pytest.mark.parametrize("document", [None, 1, "x", [], {}, True, [DOCUMENT], {**DOCUMENT, "more": 1}], ids=range(8))
def test_json_of_another_shape_is_refused(document):
    refuse(with_document(document), "expected the keys")


@pytest.mark.parametrize("depth", [500, 5_000, 200_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_refused_or_harmless(depth, brackets):
    opening = {"[]": "[", "{}": '{"a":'}[brackets]
    deep = opening * depth + "1" + brackets[1] * depth
    refuse(with_text(deep))
    text = json.dumps(DOCUMENT)
    for path in ('"provenance": {', '"classes": ', '"preprocess": ', '"attrs": {', '"nodes": ', '"shape": '):
        place = text.index(path) + len(path)
        entry = f'"deep": {deep}, ' if path.endswith("{") else f'{deep}, "x": '
        refused_or_good(with_text(text[:place] + entry + text[place:]))


def paths(record: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every leaf and every subtree."""
    yield path
    items = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for key, child in items:
        yield from paths(child, (*path, key))


def replaced(record: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    changed = copy.copy(record)
    changed[path[0]] = replaced(record[path[0]], path[1:], by)
    return changed


def removed(record: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.copy(record)
    if len(path) > 1:
        changed[path[0]] = removed(record[path[0]], path[1:])
    else:
        del changed[path[0]]
    return changed


def complaints(documents: Iterator[tuple[tuple[Any, ...], Any]]) -> list[str]:
    """What went wrong, of documents that ought to be refused with ArtifactError or to be good."""
    found = []
    for path, document in documents:
        try:
            refused_or_good(with_document(document))
        except Exception as error:  # noqa: BLE001 - any other is what this looks for
            found.append(f"{'/'.join(map(str, path))}: {type(error).__name__}: {error!s:.80}")
    return found


REPLACEMENTS: list[Any] = [None, True, -1, 0, 1, 256, 2**31, 10**400, 0.5, 1e308, 1e-320, "x", "input", "stem"]
REPLACEMENTS += [[], {}, [1], [1, 1], [0, 0, 0, 0], [None], {"a": 1}]


@pytest.mark.parametrize("by", REPLACEMENTS, ids=lambda v: f"{v!r:.12}")
def test_a_value_of_another_kind_anywhere_is_refused_or_harmless(by):
    assert complaints((path, replaced(DOCUMENT, path, by)) for path in paths(DOCUMENT)) == []


def test_a_number_past_float64_anywhere_is_refused_or_harmless():
    """1e400 is JSON, which Python reads as infinity, and which cannot be written again."""
    found = []
    for path in paths(DOCUMENT):
        text = json.dumps(replaced(DOCUMENT, path, "@@")).replace('"@@"', "1e400")
        try:
            refused_or_good(with_text(text))
        except Exception as error:  # noqa: BLE001 - any other is what this looks for
            found.append(f"{'/'.join(map(str, path))}: {type(error).__name__}: {error!s:.80}")
    assert found == []


def test_anything_left_out_is_refused_or_harmless():
    assert complaints((path, removed(DOCUMENT, path)) for path in paths(DOCUMENT) if path) == []


def test_anything_added_is_refused():
    for path in paths(DOCUMENT):
        target = DOCUMENT
        for key in path:
            target = target[key]
        if isinstance(target, dict) and path[:1] != ("provenance",):
            refuse(with_document(replaced(DOCUMENT, path, {**target, "colour": 1})))


def test_nodes_in_any_other_order_are_refused():
    nodes = DOCUMENT["graph"]["nodes"]
    for i in range(len(nodes) - 1):
        swapped = [*nodes[:i], nodes[i + 1], nodes[i], *nodes[i + 2 :]]
        independent = nodes[i]["name"] not in nodes[i + 1]["inputs"]
        assert refused_or_good(with_document(replaced(DOCUMENT, ("graph", "nodes"), swapped))) == independent


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_a_number_that_json_does_not_know_is_refused(number):
    text = json.dumps(replaced(DOCUMENT, ("graph", "values", "act", "type", "scale"), "@@"))
    refuse(with_text(text.replace('"@@"', number)))
    text = json.dumps(replaced(DOCUMENT, ("provenance", "accuracy"), "@@"))
    refuse(with_text(text.replace('"@@"', number)))
