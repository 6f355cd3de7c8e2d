"""A key that stands twice in an object is refused, wherever JSON is read from strangers, and quickly."""

import json
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from bitwright.artifact import from_bytes
from bitwright.audit.records import Audit
from bitwright.class_files import class_names
from bitwright.errors import ArtifactError, LabelError, ModelError, TrainingError
from bitwright.json_keys import TwiceError, each_key_once
from tests.artifact.sample import BODY, DOCUMENT, HEADER, with_header, with_text

TWICE = '{"a": 1, "b": 2, "a": 3}'


def test_each_key_once() -> None:
    assert json.loads('{"a": {"b": 1}, "b": {}}', object_pairs_hook=each_key_once) == {"a": {"b": 1}, "b": {}}
    with pytest.raises(TwiceError, match="'a' stands twice"):
        json.loads(TWICE, object_pairs_hook=each_key_once)


def test_many_keys_of_which_the_last_stands_twice_take_a_moment() -> None:
    text = "{" + ", ".join(f'"{i}": 0' for i in (*range(100_000), 99_999)) + "}"
    begin = time.process_time()
    with pytest.raises(TwiceError, match="'99999'"):
        json.loads(text, object_pairs_hook=each_key_once)
    assert time.process_time() - begin < 5  # a search in all keys before each took minutes


@pytest.mark.parametrize("place", ["header", "document"])
def test_artifacts(place: str) -> None:
    entry = json.dumps({"dtype": "U8", "shape": [0], "data_offsets": [0, 0]})
    if place == "header":
        data = with_header((json.dumps(HEADER)[:-1] + f', "twice": {entry}, "twice": {entry}}}').encode(), BODY)
    else:
        data = with_text(json.dumps(DOCUMENT).replace('"provenance": {', '"provenance": {"twice": 1, "twice": 2, '))
    with pytest.raises(ArtifactError, match="'twice' stands twice"):
        from_bytes(data)


def test_audits_and_class_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(TWICE)
    with pytest.raises(ArtifactError, match="'a' stands twice"):
        Audit.read(path)
    path.write_text('{"0": "cat", "1": "dog", "0": "eel"}')
    with pytest.raises(LabelError, match="'0' stands twice"):
        class_names(str(path))


def test_checkpoints(tmp_path: Path) -> None:
    from bitwright.training import checkpoint

    path = tmp_path / "run"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"training": TWICE})
    with pytest.raises(TrainingError, match="'a' stands twice"):
        checkpoint.read_record(path)


def test_configs_of_models(tmp_path: Path) -> None:
    from bitwright.models import huggingface

    (tmp_path / huggingface.FILE).write_text(TWICE)
    with pytest.raises(ModelError, match="'a' stands twice"):
        huggingface.read_config(tmp_path)


def test_requests() -> None:
    pytest.importorskip("starlette")
    from bitwright.serve.protocol import parsed
    from bitwright.serve.refusal import Refusal
    from bitwright.serve.uploads import _of_json

    with pytest.raises(Refusal, match="'a' stands twice"):
        parsed(TWICE.encode(), None, (4, 4, 3), ("logits",))
    with pytest.raises(Refusal, match="'images' stands twice"):
        _of_json(b'{"images": ["a"], "images": ["b"]}')
