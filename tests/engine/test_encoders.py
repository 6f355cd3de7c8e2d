"""The plan's own encoders give the bits that Python's give, wherever the image lies and whoever encodes it."""

import numpy as np
import pytest

from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.engine.native import Native, make_plan
from bitwright.engine.reference import Reference
from bitwright.errors import EngineError
from bitwright.graph import INPUT, Graph, Value
from bitwright.images.encoders import Encoder, encoder
from bitwright.images.preprocess import Preprocess
from bitwright.qtensor import QType
from tests.conformance.test_encoders import SPECS, pictures
from tests.kernels.agreement import available, forced
from tests.kernels.random_graph import RandomGraph


def network(found: Encoder, channels: int, size: tuple[int, int], padding: int = 1) -> Graph:
    """Convolutions of the bits, the first one with a halo where there is padding."""
    planes = channels * found.planes
    graph = RandomGraph((planes, *size))
    zeros = tuple(int(z) for z in graph.rng.integers(0, 2, planes))
    graph.values[INPUT] = Value((planes, *size), QType("bit", (1.0,) * planes, zeros, (0.0,) * planes))
    kernel = 2 * padding + 1
    graph.linear(graph.flatten(graph.conv2d(INPUT, 5, kernel)), 4, to_float=True)
    return graph.build()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_bits_and_logits_are_those_of_the_reference(spec: str, size: tuple[int, int]) -> None:
    found = encoder(spec)
    for channels, padding in ((1, 1), (3, 0), (3, 1)):
        graph = network(found, channels, size, padding)
        images = pictures(3, *size, channels)
        native = Native(graph, 1, encoder=found)
        bits = dict(native.values(images))[INPUT]
        np.testing.assert_array_equal(bits.transpose(0, 2, 3, 1), found.encode(images))
        assert native.run(images).tobytes() == Reference(graph, found).run(images).tobytes()


@pytest.mark.parametrize("spec", ["bitplanes:3", "dither", "threshold:otsu"])
def test_every_instruction_set_and_number_of_threads_has_the_same_bits(spec: str) -> None:
    found = encoder(spec)
    graph, images = network(found, 3, (16, 9)), pictures(3, 16, 9)
    expected = Reference(graph, found).run(images)
    for isa in available():
        with forced(isa):
            for threads in (1, 2):
                assert make_plan(graph, threads, encoder=found).run(images).tobytes() == expected.tobytes(), (
                    isa,
                    threads,
                )


@pytest.mark.parametrize("spec", [f"thermometer:{k}" for k in (2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 33)])
def test_every_number_of_planes_fits_its_place(spec: str) -> None:
    """Table rows are copied several bytes at a time: none may write behind the map."""
    found = encoder(spec)
    for channels in (1, 3):
        graph = network(found, channels, (4, 5))
        images = pictures(2, 4, 5, channels)
        assert make_plan(graph, 1, encoder=found).run(images).tobytes() == Reference(graph, found).run(images).tobytes()


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 9, 9, 1)),
        np.full((1, 9, 9, 1), 255),
        np.full((1, 9, 9, 1), 127),
        np.arange(81).reshape(1, 9, 9, 1) * 3,
        np.where(np.arange(81) < 80, 128, 129).reshape(1, 9, 9, 1),
        np.where(np.arange(81) < 40, 0, 255).reshape(1, 9, 9, 1),
        np.where(np.arange(81) < 27, 10, np.where(np.arange(81) < 54, 20, 30)).reshape(
            1, 9, 9, 1
        ),  # two equal thresholds
    ],
)
@pytest.mark.parametrize("spec", ["threshold:otsu", "dither"])
def test_pictures_at_the_border_of_the_definition(spec: str, pixels: np.ndarray) -> None:
    found, images = encoder(spec), pixels.astype(np.uint8)
    bits = dict(Native(network(found, 1, (9, 9)), encoder=found).values(images))[INPUT]
    np.testing.assert_array_equal(bits.transpose(0, 2, 3, 1), found.encode(images))


def test_many_images_at_once_are_images_one_by_one() -> None:
    for spec in ("thermometer:7", "dither", "threshold:otsu"):
        found = encoder(spec)
        graph, images = network(found, 3, (8, 6)), pictures(13, 8, 6)
        plan = make_plan(graph, 3, encoder=found)
        whole = plan.run(images)
        np.testing.assert_array_equal(whole, np.concatenate([plan.run(image[None]) for image in images]))


def test_the_step_is_explained() -> None:
    found = encoder("dither")
    first = Native(network(found, 3, (8, 6)), encoder=found).layers(pictures(1, 8, 6))[0]
    assert (first.name, first.op, first.kernel, first.isa) == ("image", "encode", "encode, error diffusion", "scalar")
    assert first.bytes == 8 * 6 * 3 * 2


def test_an_engine_explains_how_pixels_become_bits() -> None:
    """Pixels go into the plan's first step, and the convolution reads the bits that it writes: nothing lies between."""
    preprocess = Preprocess(size=(6, 7), mean=0.0, std=1.0, encoder="thermometer:4")
    engine = Engine(Artifact(network(encoder("thermometer:4"), 3, (6, 7)), preprocess), backend="native")
    first, second, *_ = engine.explain()
    assert (first.name, first.op, first.kernel) == ("image", "encode", "encode, a table of 256 levels")
    assert first.bytes == 6 * 7 * (3 + 3 * 4)
    assert second.op == "conv2d"
    images = pictures(2, 6, 7)
    assert engine(images).tobytes() == Engine(engine.artifact, backend="reference")(images).tobytes()


class Wrong(type(encoder("dither"))):  # type: ignore[misc]
    native = "halftone"


@pytest.mark.parametrize(
    ("spec", "channels", "message"),
    [
        (Wrong(), 3, "unknown encoder 'halftone'"),
        (encoder("thermometer:4"), 3, "its planes do not divide the image's channels"),
    ],
)
def test_what_the_engine_has_not_is_refused(spec: Encoder, channels: int, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        make_plan(network(encoder("dither"), channels, (4, 4)), 1, encoder=spec)


def test_a_graph_of_pixels_has_no_encoder() -> None:
    graph = RandomGraph((3, 4, 4))
    graph.linear(graph.flatten(graph.conv2d(INPUT, 5, 3)), 4, to_float=True)
    with pytest.raises(EngineError, match="the graph does not read bits"):
        make_plan(graph.build(), 1, encoder=encoder("dither"))
