"""Contents that make no sense together are refused."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from bitwright.artifact import Artifact, from_bytes
from bitwright.engine import Engine
from bitwright.errors import ArtifactError, EngineError
from bitwright.graph import Graph, Node, Value
from bitwright.images.preprocess import Preprocess
from bitwright.qtensor import QType
from tests.artifact.sample import (
    BOUNDS,
    DOCUMENT,
    HEIGHT,
    IMAGES,
    SIGNED,
    U8,
    WIDTH,
    document_of,
    edited,
    f32,
    header_and_body,
    make,
    node,
    refuse,
    stored,
    value,
    with_document,
    with_header,
    with_tensors,
)


@pytest.mark.parametrize("format_", [0, 3, -1, "1", None, 1.5, [1]])
def test_another_format_is_refused(format_):
    refuse(edited(lambda d: d.update(format=format_)), "format 1 to 2")


def as_format_1(document):
    document["format"] = 1
    del document["graph"]["others"]
    for record in document["graph"]["values"].values():
        del record["channel"]


def test_format_1_is_read_and_has_its_channels_in_front():
    artifact = make("int5", without=("attention",))  # it reads tokens, whose channels are behind; format 1 knows none
    header, body = header_and_body(artifact.data)
    document = document_of(artifact.data)
    as_format_1(document)
    found = from_bytes(with_header({**header, "__metadata__": {"bitwright": json.dumps(document)}}, body))
    assert replace(found).data == artifact.data
    assert all(value.channel == 0 for value in found.graph.values.values())


@pytest.mark.parametrize("name", [None, 3, ["logits"], "features"])
def test_names_of_the_output_that_are_none_or_taken_are_refused(name: Any) -> None:
    value = DOCUMENT["graph"]["output"]
    refuse(edited(lambda d: d["graph"].update(output_name=name, others={"features": value})), "name of the output")


@pytest.mark.parametrize("others", [None, [], {"features": "nowhere"}, {"features": "act"}, {"features": 3}])
def test_other_outputs_that_are_none_are_refused(others):
    refuse(edited(lambda d: d["graph"].update(others=others)), "output")


@pytest.mark.parametrize("channel", [-1, 3, "0", None, 0.0, True])
def test_a_channel_that_is_no_axis_is_refused(channel):
    refuse(edited(lambda d: d["graph"]["values"]["input"].update(channel=channel)))
    refuse(edited(lambda d: d["graph"]["values"]["logits"].update(channel=channel)))


@pytest.mark.parametrize("op", ["relu", "Conv2d", "", "__class__", "clamp", "silu"])
def test_an_unknown_op_is_refused(op):
    refuse(edited(lambda d: node(d, "act").update(op=op)), "unknown op")


@pytest.mark.parametrize("name", ["nowhere", "", "act", "logits", "flat"])
def test_an_input_that_no_earlier_node_computes_is_refused(name):
    refuse(edited(lambda d: node(d, "act").update(inputs=[name])), "no earlier node")


def test_a_cycle_is_refused():
    refuse(edited(lambda d: node(d, "dw").update(inputs=["stem", "sum"])), "no earlier node")


def test_two_nodes_of_one_name_are_refused():
    refuse(edited(lambda d: d["graph"]["nodes"].insert(2, copy.deepcopy(node(d, "pixels")))))
    refuse(edited(lambda d: d["graph"]["nodes"].append({**node(d, "half"), "inputs": ["both"]})), "exactly one node")


def test_a_node_called_input_is_refused():
    def edit(d):
        node(d, "half")["name"] = "input"
        node(d, "wide")["inputs"] = ["input"]
        del d["graph"]["values"]["half"]

    refuse(edited(edit), "reads .*input.*, which no earlier node computes")


def test_a_value_without_a_node_and_a_node_without_a_value_are_refused():
    refuse(
        edited(lambda d: d["graph"]["values"].update(ghost=value(d, "act"))),
        "one input, the image, found 2: 'input', 'ghost'",
    )
    refuse(edited(lambda d: d["graph"]["values"].pop("act")), "reads \\['act'\\], which no")
    refuse(edited(lambda d: d["graph"]["values"].pop(d["graph"]["nodes"][-1]["name"])), "exactly one node")
    refuse(edited(lambda d: d["graph"]["values"].pop("input")), "input")


@pytest.mark.parametrize("output", ["act", "input", "nowhere", "", "hidden", None, 3, ["logits"]])
def test_another_output_is_refused(output):
    refuse(edited(lambda d: d["graph"].update(output=output)), "output")


@pytest.mark.parametrize("scale", [0, 0.0, -0.0, -1.0, 1e-39, 1e-300, 5e-324, 3.5e38, 1e308])
@pytest.mark.parametrize("name", ["input", "act", "hidden"])
def test_a_scale_that_is_not_positive_finite_and_normal_is_refused(scale, name):
    scales = [scale, 1.0, 1.0] if name == "input" else scale
    refuse(edited(lambda d: value(d, name)["type"].update(scale=scales)), "scale")


@pytest.mark.parametrize(
    ("name", "zero_point"), [("act", -1), ("act", 256), ("squeeze", 16), ("input", [0, 0, 256]), ("act", 10**30)]
)
def test_a_zero_point_that_is_not_a_code_is_refused(name, zero_point):
    refuse(edited(lambda d: value(d, name)["type"].update(zero_point=zero_point)), "zero point")


def bits_of(spec: str) -> Artifact:
    """A convolution that reads the planes of an encoder, and the logits."""
    rng, preprocess = np.random.default_rng(3), Preprocess(size=(HEIGHT, WIDTH), mean=(0.1, 0.6, 0.9), encoder=spec)
    planes = preprocess.codes_shape[0]
    zero = tuple(rng.integers(0, 2, planes).tolist())
    image = QType("bit", tuple(rng.uniform(0.1, 1, planes).tolist()), zero, (0.0,) * planes)
    values = {"input": Value(preprocess.codes_shape, image), "conv": Value((2, HEIGHT, WIDTH), U8)}
    values |= {"pool": Value((2, 1, 1), U8), "flat": Value((2,), U8), "logits": Value((2,))}
    attrs = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "weights": "int8", **BOUNDS}
    weight = rng.integers(-127, 128, (2, planes, 3, 3)).astype(np.int8)
    nodes = (
        Node("conv", "conv2d", ("input",), attrs, {"weight": weight, "m": f32(0.01, -0.02), "b": f32(100, 90)}),
        Node("pool", "global_avg_pool2d", ("conv",), {}, {"m": f32(0.03)}),
        Node("flat", "reshape", ("pool",), {"shape": (2,)}),
        Node("logits", "dequantize", ("flat",), {}, {"m": f32(0.05)}),
    )
    return Artifact(Graph(nodes, values, "logits"), preprocess)


@pytest.mark.parametrize("spec", ["threshold:otsu", "threshold:99", "dither", "bitplanes:8", "thermometer:5"])
def test_an_encoder_is_part_of_the_artifact(spec: str):
    artifact = bits_of(spec)
    again = from_bytes(artifact.data)
    assert (again.data, again.preprocess.encoder) == (artifact.data, spec)
    traces = [Engine(again, backend=backend).trace(IMAGES) for backend in ("native", "reference")]
    for name, codes in traces[0].items():
        assert codes.tobytes() == traces[1][name].tobytes(), name
    assert set(np.unique(traces[0]["input"])) == {0, 1}
    assert Engine(again)(IMAGES).tobytes() == traces[0]["logits"].tobytes()
    with pytest.raises(EngineError, match="expected uint8 images"):
        Engine(again)(traces[0]["input"])


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda d: d["preprocess"].update(encoder="thermometer:6"), "input"),
        (lambda d: d["preprocess"].update(encoder="bitplanes:9"), "a whole number in 1..8"),
        (lambda d: d["preprocess"].update(encoder="morse"), "encoder must be one of"),
        (lambda d: d["preprocess"].update(encoder=None), "encoder must be text"),
        (lambda d: d["preprocess"].update(encoder={"name": "thermometer"}), "encoder must be text"),
        (lambda d: d["preprocess"].update(encoder="thermometer:" + "9" * 5000), "a whole number in 1..255"),
        (lambda d: d["preprocess"].pop("encoder"), "input"),
        (lambda d: value(d, "input")["type"].update(scheme="uint8"), "expected an input of bit"),
        (lambda d: value(d, "input")["type"]["zero_point"].__setitem__(0, 2), "zero point 2"),
        (lambda d: value(d, "input")["type"]["scale"].__setitem__(0, 0.0), "scale"),
        (lambda d: value(d, "input")["type"]["offset"].pop(), "offsets"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(edit: Callable[[Any], object], match: str):
    data = bits_of("thermometer:5").data
    (header, body), document = header_and_body(data), document_of(data)
    edit(document)
    with pytest.raises(ArtifactError, match=match):
        from_bytes(with_header({"__metadata__": {"bitwright": json.dumps(document)}, **rest(header)}, body))


def rest(header: dict[str, Any]) -> dict[str, Any]:
    return {key: entry for key, entry in header.items() if key != "__metadata__"}


def test_pixels_do_not_fit_an_encoder():
    refuse(edited(lambda d: d["preprocess"].update(encoder="threshold:128")), "expected an input of bit")


def test_the_image_must_be_what_the_preprocessing_gives():
    refuse(edited(lambda d: d["preprocess"].update(size=[HEIGHT, WIDTH + 1], resize=None)), "input")
    refuse(edited(lambda d: d["preprocess"].update(mode="L", mean=[0.0], std=[1.0])), "input")
    refuse(edited(lambda d: value(d, "input").update(type=DOCUMENT["graph"]["values"]["act"]["type"])), "per channel")
    refuse(edited(lambda d: value(d, "input")["type"].update(scheme="uint4", zero_point=[0, 0, 0])), "uint8")


def test_only_the_image_has_a_zero_point_per_channel():
    """Every other value has one scale and one zero point, says the contract; backends need not read more."""
    many = {"scheme": "uint8", "scale": [0.1] * 4, "zero_point": [1, 2, 3, 4], "offset": [0.0] * 4}
    refuse(edited(lambda d: value(d, "stem").update(type=many)))
    refuse(edited(lambda d: value(d, "excite").update(type=many)))
    pixels = {"scheme": "uint8", "scale": [0.1] * 3, "zero_point": [1, 2, 3], "offset": [0.0] * 3}
    refuse(edited(lambda d: value(d, "pixels").update(type=pixels)))


@pytest.mark.parametrize("name", sorted(stored()))
def test_a_missing_tensor_is_refused(name):
    refuse(with_tensors({k: t for k, t in stored().items() if k != name}), f"{name} is missing")
    owner, key = name.split("/")
    document = copy.deepcopy(DOCUMENT)
    del node(document, owner)["tensors"][key]
    refuse(with_document(document))
    refuse(with_tensors({k: t for k, t in stored().items() if k != name}, document))


def test_an_extra_tensor_is_refused():
    for name in ("other", "act/other", "__proto__", ""):
        refuse(with_tensors({**stored(), name: np.zeros(3, np.float32)}), "no node uses")


def test_a_tensor_of_another_shape_is_refused():
    for name, tensor in stored().items():
        refuse(with_tensors({**stored(), name: np.concatenate([tensor, tensor])}))
        refuse(with_tensors({**stored(), name: tensor[None]}))
        refuse(with_tensors({**stored(), name: tensor[:0]}))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e-40, -1e-45], ids=str)
def test_a_float_that_is_not_finite_and_normal_is_refused(number):
    for name, tensor in stored().items():
        if tensor.dtype == np.float32:
            damaged = tensor.copy()
            damaged.flat[-1] = number
            refuse(with_tensors({**stored(), name: damaged}), "not finite|not normal")


@pytest.mark.parametrize("weights", SIGNED)
def test_a_weight_code_below_its_scheme_is_refused(weights):
    bits = int(weights[3:])
    good = make(weights).data
    tensors = safetensors.numpy.load(good)
    packed = np.zeros_like(tensors["dw/weight"])
    packed[(bits - 1) // 8] = 1 << (bits - 1)  # the sign bit alone, in the first code
    refuse(with_tensors({**tensors, "dw/weight": packed}, document_of(good)), "below the least")


def test_weights_of_another_width_than_said_are_refused():
    for scheme in ("int8", "int4", "uint5", "uint8", "float32", "", None, 5, ["int5"]):
        document = copy.deepcopy(DOCUMENT)
        node(document, "dw")["attrs"]["weights"] = scheme
        refuse(with_document(document))
