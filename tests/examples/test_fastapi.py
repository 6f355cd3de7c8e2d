"""examples/fastapi: the application answers with the classes of a picture, and refuses what is none."""

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

import bitwright as bw
from tests.conftest import REPOSITORY

ARTIFACT = REPOSITORY / "examples" / "cifar10" / "resnet20-w4a4.bw.safetensors"


def test_it_classifies(monkeypatch: pytest.MonkeyPatch) -> None:
    testing = pytest.importorskip("fastapi.testclient")
    monkeypatch.setenv("BITWRIGHT_ARTIFACT", str(ARTIFACT))
    spec = importlib.util.spec_from_file_location("app", REPOSITORY / "examples" / "fastapi" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pixels = (np.arange(32 * 32 * 3) % 251).astype(np.uint8).reshape(32, 32, 3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    client = testing.TestClient(module.app)
    answer = client.post("/classify", content=file.getvalue())
    assert answer.status_code == 200
    (expected,) = bw.Classifier(bw.load(ARTIFACT))(file.getvalue())
    assert answer.json()["top"] == expected.to_json()["top"]
    assert client.post("/classify", content=b"no picture").status_code == 422
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    assert client.post("/classify", content=file.getvalue()).status_code == 413
