"""Requests to infer, piece by piece: what is read, and what is refused with which words."""

import json

import numpy as np
import pytest

from bitwright.serve.protocol import parsed, reply
from bitwright.serve.refusal import Refusal

SHAPE, OUTPUTS = (2, 2, 3), ("logits", "features")
DATA = list(range(12))
INPUT = {"name": "input", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": DATA}


def read(change=None, binary=b"", header=None, **request):
    document = {"inputs": [INPUT | (change or {})], **request}
    if change and None in change.values():
        document["inputs"][0] = {key: value for key, value in document["inputs"][0].items() if value is not None}
    head = json.dumps(document).encode()
    length = header if header is not None else (str(len(head)) if binary else None)
    return parsed(head + binary, length, SHAPE, OUTPUTS)


def test_flat_and_nested_numbers_are_the_same():
    nested = np.array(DATA).reshape(1, 2, 2, 3).tolist()
    for data in (DATA, nested):
        found = read({"data": data})
        assert found.pixels.dtype == np.uint8
        assert found.pixels.tolist() == nested
    assert found.id is None
    assert found.outputs == (("logits", False), ("features", False))


def test_binary_bytes_follow_the_json():
    found = read({"data": None, "parameters": {"binary_data_size": 12}}, bytes(DATA), id="a")
    assert found.pixels.ravel().tolist() == DATA
    assert found.id == "a"


def test_outputs_are_chosen_each_in_its_form():
    wanted = [{"name": "features", "parameters": {"binary_data": True}}, {"name": "logits"}]
    assert read(outputs=wanted).outputs == (("features", True), ("logits", False))
    assert read(parameters={"binary_data_output": True}).outputs == (("logits", True), ("features", True))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "image"}, "expected the input 'input', found 'image'"),
        ({"datatype": "FP32"}, "UINT8"),
        ({"shape": [1, 3, 2, 2]}, r"\[N, 2, 2, 3\]"),
        ({"shape": [0, 2, 2, 3]}, "N above 0"),
        ({"shape": [True, 2, 2, 3]}, "whole numbers"),
        ({"shape": [-1, 2, 2, 3]}, "N above 0"),
        ({"shape": [2**40, 2, 2, 3]}, "N above 0"),
        ({"shape": "1"}, "shape of whole numbers"),
        ({"shape": [2, 2, 2, 3]}, "24 whole numbers; found 12"),
        ({"data": None}, "list of 12 whole numbers; found None"),
        ({"data": [*DATA[:-1], 256]}, "0 to 256"),
        ({"data": [*DATA[:-1], -1]}, "-1 to 10"),
        ({"data": [*DATA[:-1], 0.5]}, "of float64"),
        ({"data": [*DATA[:-1], 10**30]}, "whole numbers"),
        ({"data": [*DATA[:-1], True]}, None),
        ({"data": [[1, 2], [3]]}, "whole numbers"),
        ({"data": ["a"] * 12}, "whole numbers"),
        ({"data": {"a": 1}}, "whole numbers"),
        ({"parameters": {"binary_data_size": 12}}, "leave one out"),
        ({"data": None, "parameters": {"binary_data_size": 12}}, "0 bytes follow"),
        ({"parameters": {"shared_memory_region": "x"}}, "shared memory"),
        ({"parameters": 3}, "an object"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(change, says):
    if says is None:  # NumPy reads True among numbers as 1, and so does JSON's next of kin
        assert read(change).pixels.max() == 10
        return
    with pytest.raises(Refusal, match=says) as caught:
        read(change)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"id": 3}, "id to be text"),
        ({"inputs": []}, "list of one tensor"),
        ({"inputs": [INPUT, INPUT]}, "2 of them"),
        ({"inputs": [3]}, "an object"),
        ({"outputs": 3}, "a list"),
        ({"outputs": [{"name": "probabilities"}]}, "logits, features"),
        ({"outputs": [{"name": "logits"}] * 2}, "each once"),
        ({"outputs": [{"name": "logits", "parameters": {"classification": 3}}]}, "/classify"),
        ({"outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]}, "true or false"),
        ({"parameters": {"binary_data_output": "yes"}}, "true or false"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(request_, says):
    with pytest.raises(Refusal, match=says):
        read(**request_)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"inputs": NaN}', b"9" * 10_000])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(Refusal):
        parsed(body, None, SHAPE, OUTPUTS)


@pytest.mark.parametrize("header", ["-1", "1e3", "", "\u0661", "9" * 30, "99999"])
def test_a_header_length_that_is_none_is_refused(header):
    with pytest.raises(Refusal, match="Header-Content-Length"):
        read(header=header)


def test_bytes_that_nobody_claims_are_refused():
    with pytest.raises(Refusal, match="3 bytes follow"):
        read(binary=b"abc")


def test_replies_hold_what_was_asked_for():
    outputs = {"logits": np.array([[0.1, 2]], np.float32), "features": np.zeros((1, 3), np.float32)}
    wanted = [{"name": "logits", "parameters": {"binary_data": True}}]
    body, length = reply("m", "v", read(outputs=wanted, id="i"), outputs)
    assert body[length:] == outputs["logits"].tobytes()
    head = json.loads(body[:length])
    assert head["id"] == "i"
    assert head["outputs"] == [
        {"name": "logits", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    ]
    body, length = reply("m", "v", read(), outputs)
    assert length is None
    assert np.float32(json.loads(body)["outputs"][0]["data"]).tobytes() == outputs["logits"].tobytes()
