"""The Open Inference Protocol, as NVIDIA's client speaks it, and without it."""

import gzip
import json

import numpy as np
import pytest

import bitwright as bw
from tests.serve.conftest import Running

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)


@pytest.fixture(scope="module")
def tritonclient():
    return pytest.importorskip("tritonclient.http")


@pytest.fixture
def client(tritonclient, running: Running):
    client = tritonclient.InferenceServerClient(f"127.0.0.1:{running.port}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def logits(models):
    return bw.Engine(models["colours"])(PIXELS)


def test_tritonclient_asks_for_health(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("colours")
    assert not client.is_model_ready("colors")


def test_tritonclient_reads_metadata(client, models):
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "model_repository"]
    metadata = client.get_model_metadata("colours")
    assert metadata["inputs"] == [{"name": "input", "datatype": "UINT8", "shape": [-1, 4, 4, 3]}]
    assert metadata["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}]
    assert metadata["versions"] == [bw.load(models["colours"]).digest[:12]]
    assert client.is_model_ready("colours", metadata["versions"][0])
    assert [model["name"] for model in client.get_model_repository_index()] == ["colours", "bits"]


def test_nobody_loads_or_unloads_a_model(client, tritonclient):
    for call in (client.load_model, client.unload_model):
        with pytest.raises(
            tritonclient.InferenceServerException, match="colours was named when the server was started"
        ):
            call("colours")
        with pytest.raises(tritonclient.InferenceServerException, match="there is no model 'nix'"):
            call("nix")
    assert client.is_model_ready("colours")


@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary_output", [None, True, False])
@pytest.mark.parametrize("binary_input", [True, False])
def test_tritonclient_infers(client, tritonclient, logits, binary_input, binary_output, packed):
    tensor = tritonclient.InferInput("input", PIXELS.shape, "UINT8")
    tensor.set_data_from_numpy(PIXELS, binary_data=binary_input)
    wanted = None if binary_output is None else [tritonclient.InferRequestedOutput("logits", binary_data=binary_output)]
    result = client.infer("colours", [tensor], outputs=wanted, request_id="mine", request_compression_algorithm=packed)
    found = result.as_numpy("logits")
    assert found.dtype == np.float32
    assert found.tobytes() == logits.tobytes()
    assert result.get_response()["id"] == "mine"


def test_tritonclient_hears_what_is_wrong(client, tritonclient):
    tensor = tritonclient.InferInput("input", [1, 4, 4, 3], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 4, 4, 3), np.float32))
    with pytest.raises(tritonclient.InferenceServerException, match="datatype UINT8"):
        client.infer("colours", [tensor])
    tensor = tritonclient.InferInput("input", PIXELS.shape, "UINT8")
    tensor.set_data_from_numpy(PIXELS)
    with pytest.raises(tritonclient.InferenceServerException, match="has version"):
        client.infer("colours", [tensor], model_version="1")


def test_json_in_json_out(running, logits):
    request = {"inputs": [{"name": "input", "shape": [5, 4, 4, 3], "datatype": "UINT8", "data": PIXELS.tolist()}]}
    found = running.ask("POST", "/v2/models/colours/infer", json.dumps(request))
    assert found.status == 200
    (output,) = found.json["outputs"]
    assert output["shape"] == [5, 3]
    assert np.array(output["data"], np.float32).tobytes() == logits.tobytes()
    assert "id" not in found.json


def test_a_bit_model_takes_pixels_too(running, models):
    request = {
        "inputs": [{"name": "input", "shape": [5, 4, 4, 3], "datatype": "UINT8", "data": PIXELS.ravel().tolist()}]
    }
    found = running.ask("POST", "/v2/models/bits/infer", json.dumps(request))
    assert (
        np.array(found.json["outputs"][0]["data"], np.float32).tobytes() == bw.Engine(models["bits"])(PIXELS).tobytes()
    )


@pytest.mark.parametrize(
    ("body", "encoding", "status", "says"),
    [
        (gzip.compress(bytes(20 * 2**20)), "gzip", 413, "when it is unpacked"),
        (b"no gzip", "gzip", 400, "no gzip"),
        (gzip.compress(b"{}")[:-4], "gzip", 400, "cut off"),
        (b"{}", "br", 415, "gzip or deflate"),
    ],
    ids=[
        "large",
        "other",
        "cut",
        "brotli",
    ],  # the time is in gzip's header: bytes would be another name in each process
)
def test_what_cannot_be_unpacked_is_refused(running, body, encoding, status, says):
    found = running.ask("POST", "/v2/models/colours/infer", body, content_encoding=encoding)
    assert found.status == status
    assert says in found.json["error"]


def test_the_openapi_document_knows_every_route(running):
    document = running.ask("GET", "/openapi.json").json
    assert {"/v2", "/v2/health/live", "/v2/models/{model}/infer", "/classify", "/preview"} <= set(document["paths"])
    infer = document["paths"]["/v2/models/{model}/infer"]["post"]
    assert {"application/json", "application/octet-stream"} == set(infer["requestBody"]["content"])
    assert {"200", "400", "404", "413", "429"} <= set(infer["responses"])
