"""Steps of a plan: whatever takes time has a row, and the rows of a layer can be had as one."""

import pytest

from bitwright.engine.backend import PlanStep, by_layer
from bitwright.engine.native import Native
from bitwright.images.encoders import encoder
from tests.conformance.test_encoders import pictures
from tests.engine.test_encoders import network
from tests.kernels.random_graph import RandomGraph


def test_copies_packing_and_the_image_are_rows() -> None:
    graph = RandomGraph((3, 9, 11))
    x, y = graph.conv2d("input", 40, 3), graph.conv2d("input", 20, 3)
    x = graph.moved("permute", graph.moved("concat", x, y, x, axis=0), dims=(0, 2, 1))
    x = graph.conv2d(graph.quantize(x, "bit"), 40, 3, weights="binary")
    graph.dequantize(graph.moved("reshape", x, shape=(11, 40, 9)))
    native = Native(graph.build(), 1, isa="scalar")
    steps = native.layers(graph.images())
    assert (steps[0].name, steps[0].op, steps[0].kernel) == ("image", "image", "copy")
    assert [step.op for step in steps[1:]].count("concat") == 1, "two parts are views of it, a third is copied"
    assert {node.op for node in native.graph.nodes} - {step.op for step in steps} <= {"table"}
    assert sum(step.share for step in steps) == pytest.approx(1)
    reshapes = [step for step in steps if step.op == "reshape"]
    assert len(reshapes) == 2, "by way of one axis"
    merged = by_layer(steps)[reshapes[0].name]
    assert merged.seconds == pytest.approx(sum(step.seconds for step in reshapes))
    assert merged.bytes == sum(step.bytes for step in reshapes)


@pytest.mark.parametrize("spec", ["thermometer:3", "dither", "threshold:otsu"])
def test_the_bits_of_an_image_are_a_row(spec: str) -> None:
    found = encoder(spec)
    native = Native(network(found, 3, (5, 7)), 1, encoder=found)
    first, *others = native.layers(pictures(1, 5, 7))
    assert (first.name, first.op) == ("image", "encode")
    assert first.seconds > 0
    assert "encode" not in {step.op for step in others}


def test_a_layer_and_the_packing_behind_it_are_one() -> None:
    layer = PlanStep("conv", "conv2d", "igemm", "avx2", 100, 10, 3.0, 0.5, 40.0)
    packing = PlanStep("conv", "pack", "bitpack", "avx2", 0, 5, 1.0, 0.25, 0.0)
    other = PlanStep("fc", "linear", "igemm", "avx2", 7, 2, 1.0, 0.25, 1.0)
    for steps in ([layer, packing, other], [packing, other, layer]):
        found = by_layer(steps)
        assert found == {"conv": PlanStep("conv", "conv2d", "igemm", "avx2", 100, 15, 4.0, 0.75, 30.0), "fc": other}
