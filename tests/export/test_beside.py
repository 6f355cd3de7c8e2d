"""Runtimes beside an artifact, and what kernels that saturate would make of it."""

import json
from pathlib import Path

import numpy as np
import pytest

import bitwright as bw
from bitwright.engine.reference import Reference
from bitwright.errors import ModelError
from bitwright.export.beside import beside
from bitwright.export.peers import PEERS
from bitwright.export.qdq import to_onnx
from bitwright.export.saturating import products, saturated_logits
from bitwright.images.sources import open_source
from tests.export.test_qdq import artifact
from tests.kernels.random_graph import RandomGraph


def test_neighbouring_products_saturate() -> None:
    weight = np.array([[127, 127, 1], [127, -127, 1], [-128, -127, -1], [64, 64, 2]])
    codes = np.array([[255, 255], [255, 0], [3, 3]])
    expected = [
        [32767 + 3, 127 * 255 + 3],  # 127 * 255 * 2 is 64770
        [0 + 3, 127 * 255 + 3],
        [-32768 - 3, -128 * 255 - 3],
        [64 * 255 * 2 + 6, 64 * 255 + 6],  # 32640: just small enough
    ]
    assert products(weight, codes).tolist() == expected


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("zero", [0, 77])
def test_what_cannot_saturate_is_computed_as_ever(groups: int, zero: int) -> None:
    """Weights of at most 63, in convolutions of all kinds and a linear layer."""
    g = RandomGraph((3, 9, 8), 0)
    x = g.conv2d("input", 8, 3, zp=zero)
    x = g.conv2d(x, 16, 3, groups=groups, stride=(2, 2), zp=zero)
    x = g.global_avg_pool2d(g.conv2d(x, 8, 1, zp=zero), zp=zero)
    g.dequantize(g.linear(g.moved("reshape", x, shape=(8,)), 5))
    graph = g.build()
    for node in graph.nodes:
        if "weight" in node.tensors:
            np.clip(node.tensors["weight"], -63, 63, out=node.tensors["weight"])
    pixels = g.images(2)
    assert np.array_equal(saturated_logits(graph, pixels), Reference(graph).run(pixels))


@pytest.mark.parametrize("peer", PEERS)
def test_peers_tell_labels_and_codes_that_differ(peer: str, tmp_path: Path) -> None:
    pytest.importorskip(peer)
    made, pixels = artifact()
    np.savez(tmp_path / "set.npz", images=pixels, labels=np.zeros(len(pixels), np.int64))
    (tmp_path / "m.onnx").write_bytes(to_onnx(made).SerializeToString())
    source = open_source(str(tmp_path / "set.npz"))
    found = beside(made, tmp_path / "m.onnx", source, peer=peer, saturating=True, limit=40)
    assert found.runtime.split()[0] in ("ONNX", "OpenVINO")
    assert found.images == 40
    assert found.changed <= 2
    assert {layer.name for layer in found.layers} >= {"0", "3"}
    assert max(layer.largest for layer in found.layers) <= 2
    assert found.saturated is not None
    expected = saturated_logits(made.graph, pixels[:40])
    assert found.saturated.largest_logit_difference == np.abs(expected - bw.Engine(made)(pixels[:40])).max()
    assert json.dumps(found.to_json())


@pytest.mark.parametrize("peer", PEERS)
def test_a_file_that_a_peer_cannot_load_is_an_error(peer: str) -> None:
    pytest.importorskip(peer)
    with pytest.raises(ModelError, match=r"m\.onnx: (ONNX Runtime|OpenVINO) .* cannot load it"):
        PEERS[peer](b"nothing", "m.onnx", artifact()[0], 1)
