"""The engine: what it takes, what it refuses, and that groups of images change nothing."""

import copy
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitwright
from bitwright.artifact import Artifact
from bitwright.engine import Engine, reference
from bitwright.errors import ArtifactError, EngineError, ImageError
from bitwright.graph import Graph, Node, Value
from bitwright.images.preprocess import Preprocess
from bitwright.ops import INTEGER_OPS
from bitwright.qtensor import QType

HEIGHT, WIDTH, CLASSES = 5, 4, 3
IMAGE = QType("uint8", (0.01, 0.02, 0.03), (0, 128, 255), (0.0, -0.01, 0.01))
U8 = QType("uint8", 0.05, 128)
BOUNDS = {"lo": 0, "hi": 255}


def make() -> Artifact:
    """conv2d -> conv2d with the first as residual -> permute -> reshape -> linear."""
    rng = np.random.default_rng(1)
    conv = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "weights": "int8", **BOUNDS}

    def layer(*shape: int) -> dict[str, np.ndarray]:
        weight = rng.integers(-127, 128, shape).astype(np.int8)
        m = rng.uniform(-0.02, 0.02, shape[0]).astype(np.float32)
        return {"weight": weight, "m": m, "b": rng.uniform(50, 200, shape[0]).astype(np.float32)}

    residual = {"m_r": np.array([0.5], np.float32)}
    nodes = (
        Node("stem", "conv2d", ("input",), conv, layer(4, 3, 3, 3)),
        Node("body", "conv2d", ("stem", "stem"), conv, layer(4, 4, 3, 3) | residual),
        Node("turned", "permute", ("body",), {"dims": (1, 2, 0)}),
        Node("flat", "reshape", ("turned",), {"shape": (4 * HEIGHT * WIDTH,)}),
        Node("logits", "linear", ("flat",), {"weights": "int8", **BOUNDS}, layer(CLASSES, 4 * HEIGHT * WIDTH)),
    )
    planes = Value((4, HEIGHT, WIDTH), U8)
    values = {
        "input": Value((3, HEIGHT, WIDTH), IMAGE),
        "stem": planes,
        "body": planes,
        "turned": Value((HEIGHT, WIDTH, 4), U8),
        "flat": Value((4 * HEIGHT * WIDTH,), U8),
        "logits": Value((CLASSES,)),
    }
    return Artifact(Graph(nodes, values, "logits"), Preprocess(size=(HEIGHT, WIDTH)), ("a", "b", "c"))


ARTIFACT = make()
IMAGES = np.random.default_rng(2).integers(0, 256, (7, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def engine() -> Engine:
    return Engine(ARTIFACT)


def step_by_step(artifact: Artifact, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every value, by running the ops in a plain loop."""
    graph = artifact.graph
    found = {"input": np.ascontiguousarray(np.moveaxis(images, 3, 1))}
    for node in graph.nodes:
        xs = [found[name] for name in node.inputs]
        found[node.name] = INTEGER_OPS[node.op].run(node, xs, graph.inputs_of(node), graph.values[node.name])
    return found


def test_logits_are_those_of_the_ops_in_order(engine):
    logits = engine(IMAGES)
    assert logits.dtype == np.float32
    assert logits.shape == (7, CLASSES)
    np.testing.assert_array_equal(logits, step_by_step(ARTIFACT, IMAGES)["logits"])
    assert len(np.unique(logits)) > 7


def test_an_artifact_and_its_path_give_the_same(engine, tmp_path):
    path = tmp_path / "model.safetensors"
    ARTIFACT.save(path)
    for given in (path, str(path)):
        from_path = Engine(given)
        assert from_path.artifact.digest == ARTIFACT.digest
        np.testing.assert_array_equal(from_path(IMAGES), engine(IMAGES))
    assert Engine(ARTIFACT).artifact is ARTIFACT


def test_a_path_that_holds_no_artifact_is_an_error(tmp_path):
    (tmp_path / "model").write_bytes(b"not a model")
    for path in (tmp_path / "model", tmp_path / "none"):
        with pytest.raises(ArtifactError, match=str(path)):
            Engine(path)


def test_instructions_are_an_argument_of_the_native_backend(engine):
    plain = Engine(ARTIFACT, backend="native", isa="scalar")
    assert {layer.isa for layer in plain.explain()} == {"scalar"}
    assert plain(IMAGES).tobytes() == engine(IMAGES).tobytes()
    for isa in ("abacus", 8):
        with pytest.raises(EngineError):
            Engine(ARTIFACT, backend="native", isa=isa)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="isa=None"):
        Engine(ARTIFACT, backend="reference", isa="scalar")


def test_the_public_names_are_the_same_classes():
    assert bitwright.Engine is Engine
    assert bitwright.Artifact is Artifact


@pytest.mark.parametrize("images", [2, 6, 7, 8])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_groups_give_the_same_as_one_by_one(monkeypatch, images, chunk):
    batch = np.concatenate([IMAGES, IMAGES])[:images]
    largest = 4 * HEIGHT * WIDTH
    monkeypatch.setattr(reference, "CHUNK_ELEMENTS", chunk * largest)
    engine = Engine(ARTIFACT, backend="reference")
    sizes: list[int] = []
    run = INTEGER_OPS["linear"].run

    def recorded(node, xs, *rest):
        sizes.append(len(xs[0]))
        return run(node, xs, *rest)

    monkeypatch.setattr(INTEGER_OPS["linear"], "run", recorded)
    found = engine(batch)
    assert sizes == [min(chunk, images - i) for i in range(0, images, chunk)]
    np.testing.assert_array_equal(found, np.concatenate([engine(batch[i : i + 1]) for i in range(images)]))


def test_an_image_larger_than_a_group_runs_alone(monkeypatch, engine):
    monkeypatch.setattr(reference, "CHUNK_ELEMENTS", 1)
    np.testing.assert_array_equal(Engine(ARTIFACT, backend="reference")(IMAGES), engine(IMAGES))


def test_an_empty_batch_gives_no_logits(engine):
    found = engine(IMAGES[:0])
    assert found.shape == (0, CLASSES)
    assert found.dtype == np.float32


def test_a_trace_of_an_empty_batch_holds_empty_values(engine):
    found = engine.trace(IMAGES[:0])
    assert {name: value.shape for name, value in found.items()} == {
        name: (0, *value.shape) for name, value in ARTIFACT.graph.values.items()
    }


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float32, np.float64, np.bool_])
def test_another_dtype_is_refused(engine, dtype):
    for run in (engine, engine.trace):
        with pytest.raises(EngineError, match=r"expected uint8 images of \[N, 5, 4, 3\]"):
            run(IMAGES.astype(dtype))


@pytest.mark.parametrize(
    "shape",
    [
        (),
        (3,),
        (WIDTH, HEIGHT, 3),
        (1, 3, HEIGHT, WIDTH),
        (1, WIDTH, HEIGHT, 3),
        (1, HEIGHT, WIDTH, 1),
        (1, 1, HEIGHT, WIDTH, 3),
    ],
)
def test_another_shape_is_refused(engine, shape):
    for run in (engine, engine.trace):
        with pytest.raises(EngineError, match=r"expected uint8 images of \[N, 5, 4, 3\]"):
            run(np.zeros(shape, np.uint8))


def test_a_trace_holds_every_value(engine):
    found = engine.trace(IMAGES)
    expected = step_by_step(ARTIFACT, IMAGES)
    assert list(found) == ["input", "stem", "body", "turned", "flat", "logits"]
    for name, value in found.items():
        assert value.dtype == (np.float32 if name == "logits" else np.uint8)
        assert value.flags.c_contiguous
        np.testing.assert_array_equal(value, expected[name])
    np.testing.assert_array_equal(found["logits"], engine(IMAGES))


def test_running_changes_neither_the_images_nor_the_artifact(engine):
    images = IMAGES.copy()
    images.flags.writeable = False
    first = engine(images)
    first_again = first.copy()
    first[...] = 0
    np.testing.assert_array_equal(engine(images), first_again)
    assert replace(ARTIFACT).data == make().data


def test_images_of_any_layout_in_memory_give_the_same(engine):
    channels_first = np.ascontiguousarray(np.moveaxis(IMAGES, 3, 1))
    doubled = np.repeat(IMAGES, 2, axis=0)
    np.testing.assert_array_equal(engine(np.moveaxis(channels_first, 1, 3)), engine(IMAGES))
    np.testing.assert_array_equal(engine(doubled[::2]), engine(IMAGES))
    np.testing.assert_array_equal(engine(IMAGES[::-1]), engine(IMAGES)[::-1])


def test_a_value_that_nothing_reads_does_no_harm(engine):
    dead = Node("dead", "permute", ("stem",), {"dims": (2, 1, 0)})
    graph = ARTIFACT.graph
    for place in (1, 4, 5):
        nodes = (*graph.nodes[:place], dead, *graph.nodes[place:])
        values = {**graph.values, "dead": Value((WIDTH, HEIGHT, 4), U8)}
        found = Engine(replace(ARTIFACT, graph=Graph(nodes, values, "logits")))
        np.testing.assert_array_equal(found(IMAGES), engine(IMAGES))
        assert "dead" in found.trace(IMAGES)


# --- image files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """The images as files; the last one is larger, so that it must be resized."""
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, IMAGES, strict=False):
        Image.fromarray(image).save(path)
    Image.fromarray(IMAGES[2]).resize((3 * WIDTH, 3 * HEIGHT)).save(paths[2])
    return paths


def test_files_are_decoded_and_preprocessed(engine, files):
    with Image.open(files[2]) as picture:
        last = ARTIFACT.preprocess.apply(picture)
    pixels = np.stack([IMAGES[0], IMAGES[1], last])
    np.testing.assert_array_equal(engine(files), engine(pixels))
    np.testing.assert_array_equal(engine([str(path) for path in files]), engine(pixels))
    np.testing.assert_array_equal(engine.trace(files)["input"], np.moveaxis(pixels, 3, 1))


def test_one_file_is_a_batch_of_one(engine, files):
    for path in (files[0], str(files[0])):
        np.testing.assert_array_equal(engine(path), engine(IMAGES[:1]))


def test_no_files_give_no_logits(engine):
    assert engine([]).shape == (0, CLASSES)


def test_a_file_that_cannot_be_read_is_named(engine, files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(files[0].read_bytes()[:40])
    for path in (broken, tmp_path / "none.png"):
        with pytest.raises(ImageError, match=path.name):
            engine([files[0], path])


def test_one_array_a_pil_picture_and_the_bytes_of_a_file_are_images(engine, tmp_path):
    image = IMAGES[0]
    expected = engine(image[None])
    picture = Image.fromarray(image)
    path = tmp_path / "image.png"
    picture.save(path)
    for given in (image, picture, [picture], path.read_bytes(), [path.read_bytes()], (p for p in [path])):
        np.testing.assert_array_equal(engine(given), expected)
    several = engine([path, picture, path.read_bytes()])
    np.testing.assert_array_equal(several, np.repeat(expected, 3, axis=0))


def test_a_pil_picture_of_another_size_and_mode_is_preprocessed(engine):
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (31, 44, 4), np.uint8), "RGBA")
    np.testing.assert_array_equal(engine(picture), engine(ARTIFACT.preprocess.apply(picture)))


@pytest.mark.parametrize("images", [7, None, [7], [IMAGES[0]], [[b""]]])
def test_what_is_no_image_is_refused_by_its_type(engine, images):
    kind = type(images[0] if isinstance(images, list) else images).__name__
    with pytest.raises(EngineError, match=f"found {kind}"):
        engine(images)


@pytest.mark.parametrize("backend", ["native", "reference", None])
def test_an_engine_is_copied_by_its_artifact(backend):
    """By what pickling uses, too; a process of a pool unpickles one below."""
    pytest.importorskip("bitwright._native")
    engine = Engine(ARTIFACT, backend=backend, threads=2)
    again = copy.deepcopy(engine)
    assert again._backend is not engine._backend
    assert again.artifact.digest == ARTIFACT.digest
    assert type(again._backend) is type(engine._backend)
    np.testing.assert_array_equal(again(IMAGES), engine(IMAGES))


def test_an_engine_goes_to_a_process_of_a_pool(engine):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(engine, IMAGES).result(), engine(IMAGES))
