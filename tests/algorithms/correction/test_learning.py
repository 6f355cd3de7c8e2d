"""What is learned on is what runs: nodes with stand-ins compute what the quantized network computes."""

import torch

from bitwright.algorithms.correction.finetune_scales import Gain
from bitwright.algorithms.correction.learning import restore, run_nodes, state_of, weighted
from bitwright.graph import INPUT
from tests.algorithms.correction.test_reconstruct import IMAGES, PREPROCESS, made


@torch.no_grad()
def test_the_stand_ins_and_what_has_none_compute_what_the_network_does() -> None:
    prepared = made("int2", "uint4")
    nodes, images = prepared.graph.nodes, torch.from_numpy(IMAGES[:16])
    exact, rounded = prepared.calibrator.observe(images), prepared(torch.from_numpy(PREPROCESS.normalise(IMAGES[:16])))
    far = (exact - rounded).norm()
    gains = {layer.node.name: Gain(layer) for layer in weighted(prepared, nodes)}
    for stand_ins in ({}, gains):
        found = run_nodes(prepared, nodes, {INPUT: prepared.real_input(images)}, stand_ins)
        assert (found - rounded).norm() < 0.2 * far  # products are in bfloat16


@torch.no_grad()
def test_everything_that_is_learned_can_be_undone() -> None:
    prepared = made("int3", "uint4", "bias_correct", "adaround")
    before, state = prepared.lower(), state_of(prepared, prepared.graph.nodes)
    for layer in weighted(prepared, prepared.graph.nodes):
        assert layer.quantizer is not None
        layer.set_codes(layer.codes() * 0)
        layer.correction.add_(1)
        layer.quantizer.scale.mul_(2)
    restore(prepared, prepared.graph.nodes, state)
    for found, expected in zip(prepared.lower().nodes, before.nodes, strict=True):
        assert all((found.tensors[name] == tensor).all() for name, tensor in expected.tensors.items())
