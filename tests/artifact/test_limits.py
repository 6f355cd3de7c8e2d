"""A small file claims neither memory nor time: what would is refused."""

import gc
import json
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bitwright.artifact_file.graph_reading
from bitwright.artifact import Artifact, from_bytes
from bitwright.errors import ArtifactError
from bitwright.images.preprocess import Preprocess
from bitwright.qtensor import QType
from tests.artifact.sample import (
    ARTIFACT,
    DATA,
    DOCUMENT,
    U8,
    edited,
    f32,
    node,
    refuse,
    refused_or_good,
    value,
    with_tensors,
)


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grey(nodes: list[tuple[Any, ...]], size: tuple[int, int]) -> bytes:
    """A model of one channel from (name, op, inputs, attrs, tensors, shape) rows; the last one is the output.

    It is built without the check that an Artifact makes, so that from_bytes makes it.
    """
    one = {"scheme": "uint8", "scale": 1.0, "zero_point": 0}
    image = {"scheme": "uint8", "scale": [1.0], "zero_point": [0], "offset": [0.0]}
    values: dict[str, Any] = {"input": {"shape": [1, *size], "type": image, "channel": 0}}
    records: list[Any] = []
    tensors: dict[str, np.ndarray] = {}
    for name, op, inputs, attrs, parts, shape in nodes:
        values[name] = {"shape": list(shape), "type": None if name == nodes[-1][0] else one, "channel": 0}
        shapes = {key: list(t.shape) for key, t in parts.items()}
        records.append({"name": name, "op": op, "inputs": inputs, "attrs": attrs, "tensors": shapes, "origin": ""})
        tensors |= {f"{name}/{key}": t.reshape(-1) if key == "weight" else t for key, t in parts.items()}
    document = {
        "format": 2,
        "graph": {"output": nodes[-1][0], "others": {}, "values": values, "nodes": records},
        "preprocess": Preprocess(size=size, mode="L").to_json(),
        "classes": None,
        "provenance": {},
    }
    return with_tensors(tensors, document)


CODES: tuple[Any, ...] = ("codes", "table", ["input"], {}, {"table": np.zeros((1, 256), np.uint8)})


def last(name: str, shape: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Rows that end a model: the mean of the value `name`, as logits."""
    return [
        ("mean", "global_avg_pool2d", [name], {}, {"m": f32(1)}, (shape[0], 1, 1)),
        ("flat", "reshape", ["mean"], {"shape": [shape[0]]}, {}, (shape[0],)),
        ("logits", "dequantize", ["flat"], {}, {"m": f32(1)}, (shape[0],)),
    ]


def test_checking_a_max_pool_takes_no_memory_per_window_and_tap():
    data = grey(
        [
            (*CODES, (1, 64, 128)),
            ("row", "reshape", ["codes"], {"shape": [1, 8192, 1]}, {}, (1, 8192, 1)),
            (
                "top",
                "max_pool2d",
                ["row"],
                {"kernel": [2048, 1], "stride": [1, 1], "padding": [0] * 4, "dilation": [1, 1]},
                {},
                (1, 6145, 1),
            ),
            *last("top", (1, 1, 1)),
        ],
        (64, 128),
    )
    assert peak_bytes(lambda: read(data)) < 16 * 2**20


def read(data: bytes) -> Artifact | None:
    try:
        return from_bytes(data)
    except ArtifactError:
        return None


def test_padding_that_would_claim_all_memory_is_refused():
    """Every value is small, and so is the file; between them stands a padded plane for each of 65536 channels."""
    channels, side = 2**16, 8191
    rows = [
        (*CODES, (1, 256, 256)),
        ("deep", "reshape", ["codes"], {"shape": [channels, 1, 1]}, {}, (channels, 1, 1)),
        (
            "pool",
            "avg_pool2d",
            ["deep"],
            {"kernel": [1, 1], "stride": [2**15, 2**15], "padding": [side, side, 0, 0]},
            {"m": f32(1).reshape(1, 1)},
            (channels, 1, 1),
        ),
        *last("pool", (channels, 1, 1)),
    ]
    refuse(grey(rows, (256, 256)))


def test_a_convolution_whose_windows_would_claim_all_memory_is_refused():
    """128 x 128 taps over 2048 x 2048 windows: 2**36 numbers, from a weight of 16 KiB."""
    side, kernel = 2048, 128
    weight = np.zeros((1, 1, kernel, kernel), np.uint8)
    attrs = {
        "stride": [1, 1],
        "padding": [64, 64, 63, 63],
        "dilation": [1, 1],
        "groups": 1,
        "weights": "int8",
        "lo": 0,
        "hi": 255,
    }
    rows = [
        ("conv", "conv2d", ["input"], attrs, {"weight": weight, "m": f32(1), "b": f32(0)}, (1, side, side)),
        *last("conv", (1, 1, 1)),
    ]
    refuse(grey(rows, (side, side)))


def test_an_overflowing_layer_is_refused():
    inputs = (2**31 - 1) // (127 * 255) + 1
    rows = [
        (*CODES, (1, 1, inputs)),
        ("flat", "reshape", ["codes"], {"shape": [inputs]}, {}, (inputs,)),
        (
            "wide",
            "linear",
            ["flat"],
            {"weights": "int8", "lo": 0, "hi": 255},
            {"weight": np.full((1, inputs), 127, np.uint8), "m": f32(1), "b": f32(0)},
            (1,),
        ),
    ]
    refuse(grey(rows, (1, inputs)), "accumulator")
    for row in (0, 1):
        rows[row] = (*rows[row][:5], (*rows[row][5][:-1], inputs - 1))
    rows[1][3]["shape"] = [inputs - 1]
    rows[2][4]["weight"] = rows[2][4]["weight"][:, 1:]
    assert refused_or_good(grey(rows, (1, inputs - 1)))


@pytest.mark.parametrize(
    "classes", [[], ["cat"], ["cat", "dog"], ["a"] * 4, "cat", ["a", "b", 3], [None] * 3, {"a": 1, "b": 2, "c": 3}, 3]
)
def test_class_names_that_do_not_fit_are_refused(classes):
    refuse(edited(lambda d: d.update(classes=classes)), "class names")


@pytest.mark.parametrize("provenance", [None, [], "x", 1, True])
def test_provenance_of_another_type_is_refused(provenance):
    refuse(edited(lambda d: d.update(provenance=provenance)), "provenance")


def test_too_many_nodes_are_refused(monkeypatch):
    monkeypatch.setattr(bitwright.artifact_file.graph_reading, "MAX_NODES", len(ARTIFACT.graph.nodes) - 1)
    refuse(DATA, "at most")
    monkeypatch.setattr(bitwright.artifact_file.graph_reading, "MAX_NODES", len(ARTIFACT.graph.nodes))
    assert refused_or_good(DATA)


def test_values_of_one_type_share_it_so_that_many_values_are_cheap():
    types = {name: value.type for name, value in from_bytes(DATA).graph.values.items()}
    assert types["stem"] == U8
    assert types["stem"] is types["dw"] is types["flat"]
    assert types["squeeze"] is not types["stem"]


def test_a_negative_zero_stays_one_whatever_was_read_before():
    types = [value(json.loads(json.dumps(DOCUMENT)), "input")["type"] for _ in range(2)]
    types[0]["offset"], types[1]["offset"] = [0.0] * 3, [-0.0] * 3
    signs = [[math.copysign(1, o) for o in QType.from_json(type_, "input").offset] for type_ in types]
    assert signs == [[1] * 3, [-1] * 3]


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("data", [DATA, DATA[:-1]])
def test_the_garbage_collector_is_as_it_was_after_reading(running, data):
    (gc.enable if running else gc.disable)()
    try:
        refused_or_good(data)
        assert gc.isenabled() is running
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "shape", [[2**31], [2**62, 2**62], [1] * 9, [2**28 + 1], [2**14, 2**14, 2], [10**400], [0], [-1], [], [1.0], [True]]
)
def test_enormous_and_impossible_shapes_are_refused_without_allocating(shape):
    documents = [
        edited(lambda d: value(d, "act").update(shape=shape)),
        edited(lambda d: value(d, "input").update(shape=shape)),
        edited(lambda d: node(d, "dw")["tensors"].update(weight=shape)),
        edited(lambda d: node(d, "act")["tensors"].update(table=shape)),
        edited(lambda d: node(d, "flat")["attrs"].update(shape=shape)),
    ]

    def refuse_all() -> None:
        for data in documents:
            refuse(data)

    assert peak_bytes(refuse_all) < 20 * len(DATA) + 2**20
