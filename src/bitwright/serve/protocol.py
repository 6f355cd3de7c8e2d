"""Open Inference Protocol v2: what a request asks for, and the reply. Plain functions of bytes; no server here.

A body is JSON, or JSON and behind it the tensors' bytes ("binary tensor data extension": the header
`Inference-Header-Content-Length` says where the JSON ends). Every model has one input, "input", uint8 [N, H, W, C], pixels as
the engine takes them, and outputs float32 [N, ...], the logits first.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from bitwright.json_keys import each_key_once
from bitwright.serve.refusal import Refusal

INPUT = "input"
DATATYPE = "UINT8"
EXTENSIONS = ["binary_tensor_data", "model_repository"]
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Inputs:
    """A request to infer.

    Attributes:
        pixels: uint8 [N, H, W, C], perhaps a view of the request's body.
        id: the client's name for the request, which the reply repeats; None: it has none.
        outputs: the names of the outputs asked for, and whether each is wanted in binary.
    """

    pixels: npt.NDArray[np.uint8]
    id: str | None
    outputs: tuple[tuple[str, bool], ...]


def parsed(body: bytes, header_length: str | None, shape: Sequence[int], outputs: Sequence[str]) -> Inputs:
    """Read a request for a model whose pixels are [N, *shape] and whose outputs have these names.

    Raises:
        Refusal: 400, with what was expected and what was found.
    """
    length = json_bytes(body, header_length)
    binary = memoryview(body)[length:]
    request = _object(_json(body[:length]), "the request")
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        _refuse(f"expected the request's id to be text, found {identity!r:.100}")
    tensors = request.get("inputs")
    if not isinstance(tensors, list) or len(tensors) != 1:
        found = f"{len(tensors)} of them" if isinstance(tensors, list) else f"{tensors!r:.100}"
        _refuse(f"expected inputs to be a list of one tensor, {INPUT!r}; found {found}")
    pixels = _pixels(_object(tensors[0], "inputs[0]"), binary, shape)
    return Inputs(pixels, identity, _outputs(request, outputs))


def json_bytes(body: bytes, header_length: str | None) -> int:
    """How many bytes of a body are JSON: all, or as many as the header says. Refusal, 400, where it says nothing sound."""
    if header_length is None:
        return len(body)
    if not (header_length.isascii() and header_length.isdigit()) or len(header_length) > 12:
        _refuse(f"expected {HEADER_LENGTH} to be a number of bytes, found {header_length!r:.100}")
    length = int(header_length)
    if length > len(body):
        _refuse(f"{HEADER_LENGTH} is {length}, but the body has only {len(body)} bytes")
    return length


def _json(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_no_json, object_pairs_hook=each_key_once)
    except RecursionError:
        _refuse("the request's JSON is nested too deeply")
    except ValueError as error:  # also what is no UTF-8, and numbers of thousands of digits
        _refuse(f"the request is no JSON: {str(error)[:200]}")


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _pixels(tensor: Mapping[str, Any], binary: memoryview, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    if tensor.get("name") != INPUT:
        _refuse(f"expected the input {INPUT!r}, found {tensor.get('name')!r:.100}")
    if tensor.get("datatype") != DATATYPE:
        _refuse(
            f"expected {INPUT!r} to be of datatype {DATATYPE}, pixels 0..255; found {tensor.get('datatype')!r:.100}"
        )
    found = tensor.get("shape")
    expected = ", ".join(map(str, shape))
    if not isinstance(found, list) or any(type(side) is not int for side in found):
        _refuse(f"expected {INPUT!r} to have a shape of whole numbers, [N, {expected}]; found {found!r:.100}")
    if len(found) != 1 + len(shape) or found[1:] != list(shape) or not 1 <= found[0] < 2**31:
        _refuse(f"expected {INPUT!r} to have the shape [N, {expected}] with N above 0; found {found!r:.100}")
    count = math.prod(found)
    size = _parameters(tensor, INPUT).get("binary_data_size")
    if size is not None:
        if "data" in tensor:
            _refuse(f"{INPUT!r} has both data and binary_data_size; leave one out")
        if type(size) is not int or size != count or len(binary) != count:
            _refuse(
                f"{INPUT!r} of shape {found} has {count} bytes; binary_data_size says {size!r:.100}, and {len(binary)} bytes "
                "follow the JSON"
            )
        return np.frombuffer(binary, np.uint8).reshape(found)
    if len(binary):
        _refuse(f"{len(binary)} bytes follow the JSON, but no input has binary_data_size")
    return _numbers(tensor.get("data"), count).reshape(found)


def _numbers(data: Any, count: int) -> npt.NDArray[np.uint8]:
    """The numbers of a list, flat or nested, uint8 [count]."""
    try:
        numbers = np.asarray(data) if isinstance(data, list) else np.zeros(0)
    except (ValueError, OverflowError, TypeError):
        numbers = np.zeros(0)
    if numbers.dtype.kind not in "iu" or numbers.size != count:
        what = f"{numbers.size} of {numbers.dtype}" if numbers.size else f"{data!r:.100}"
        _refuse(f"expected {INPUT!r} to have as data a list of {count} whole numbers; found {what}")
    if numbers.min() < 0 or numbers.max() > 255:
        _refuse(f"expected pixels 0..255; found {numbers.min()} to {numbers.max()}")
    return numbers.astype(np.uint8)


def _outputs(request: Mapping[str, Any], known: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    everywhere = _flag(_parameters(request, "the request"), "binary_data_output", False)
    wanted = request.get("outputs")
    if wanted is None or wanted == []:
        return tuple((name, everywhere) for name in known)
    if not isinstance(wanted, list):
        _refuse(f"expected outputs to be a list, found {wanted!r:.100}")
    asked: dict[str, bool] = {}
    for i, output in enumerate(wanted):
        output = _object(output, f"outputs[{i}]")
        name, parameters = output.get("name"), _parameters(output, f"outputs[{i}]")
        if not isinstance(name, str) or name not in known or name in asked:
            _refuse(f"expected outputs of {', '.join(known)}, each once; found {name!r:.100}")
        if parameters.get("classification", 0) != 0:
            _refuse("the classification extension is not offered; /classify names the classes of pictures")
        asked[name] = _flag(parameters, "binary_data", everywhere)
    return tuple(asked.items())


def _parameters(part: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parameters = part.get("parameters")
    if parameters is None:
        return {}
    parameters = _object(parameters, f"the parameters of {where}")
    if "shared_memory_region" in parameters:
        _refuse(f"{where} is in shared memory, which is not offered; send the bytes")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    flag = parameters.get(name, default)
    if not isinstance(flag, bool):
        _refuse(f"expected {name} to be true or false, found {flag!r:.100}")
    return flag


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"expected {where} to be an object, found {value!r:.100}")
    return value


def _refuse(message: str) -> NoReturn:
    raise Refusal(400, message)


def reply(
    model: str, version: str, inputs: Inputs, outputs: Mapping[str, npt.NDArray[np.float32]]
) -> tuple[bytes, int | None]:
    """The body of an answer, and how long its JSON is where tensors follow it in binary; None where it is all JSON."""
    described, tensors = [], []
    for name, binary in inputs.outputs:
        array = outputs[name]
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(array.shape)}
        if binary:
            tensor["parameters"] = {"binary_data_size": array.nbytes}
            tensors.append(array.tobytes())
        else:
            tensor["data"] = array.ravel().tolist()
        described.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": described}
    if inputs.id is not None:
        document["id"] = inputs.id
    head = json.dumps(document, allow_nan=False).encode()
    return b"".join((head, *tensors)), len(head) if tensors else None


def metadata(model: str, version: str, shape: Sequence[int], outputs: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """What the protocol tells of a model; -1 stands for the number of images."""
    return {
        "name": model,
        "versions": [version],
        "platform": "bitwright",
        "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [-1, *shape]}],
        "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, *sides]} for name, sides in outputs.items()],
    }
