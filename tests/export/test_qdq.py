"""An exported model computes in ONNX Runtime what the reference does, up to one rounding in each op."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import bitwright as bw
from bitwright.artifact import Artifact
from bitwright.engine.reference import Reference
from bitwright.errors import CaptureWarning, GraphError
from bitwright.export import to_onnx
from bitwright.export.ops import OPS
from bitwright.export.qdq import exported
from bitwright.graph import INPUT, Graph
from bitwright.images.preprocess import Preprocess
from bitwright.ops import INTEGER_OPS
from tests.conformance.ops.cases import GROW
from tests.conformance.test_ops_native import OF_CODES, graph_of
from tests.kernels.random_graph import RandomGraph

runtime = pytest.importorskip("onnxruntime")
Pixels = npt.NDArray[np.uint8]


def values_of(
    model: onnx.ModelProto, names: list[str], given: npt.NDArray[Any], fuses: bool = True
) -> list[npt.NDArray[Any]]:
    """The logits and these values, by ONNX Runtime without its own rounding: each op between its neighbours' codes."""
    for name in names:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None))
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if not fuses:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[npt.NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: given})
    return found


def parted(graph: Graph, pixels: Pixels, form: Any = "qdq") -> dict[str, tuple[int, float]]:
    """For every value of codes: by how many the two differ at most, and on which share of them."""
    ours = dict(Reference(graph).values(pixels))
    model = exported(graph, form=form)
    onnx.checker.check_model(model, full_check=True)
    names = [node.name for node in graph.nodes if graph.values[node.name].type is not None]
    found = dict(zip(names, values_of(model, names, pixels)[1:], strict=True))
    gaps = {name: np.abs(found[name].astype(int) - ours[name].astype(int)) for name in names}
    return {name: (int(gap.max()), float((gap > 0).mean())) for name, gap in gaps.items()}


def test_every_op_has_a_form() -> None:
    assert set(OPS) == set(INTEGER_OPS)


@pytest.mark.parametrize("case", OF_CODES.values(), ids=OF_CODES)
def test_an_op_differs_by_one_code_at_most(case: Any) -> None:
    graph = graph_of(case).build()
    pixels = np.random.default_rng(0).integers(
        0, 256, (2, *graph.values[INPUT].shape[1:], graph.values[INPUT].shape[0])
    )
    if case.node.op == "attention" and case.node.tensors["exp"][-1] != 0:
        with pytest.raises(GraphError, match="no softmax"):
            exported(graph)
        return
    gaps = parted(graph, pixels.astype(np.uint8))
    most = 5 if case.node.op == "attention" else 1  # our weights are whole multiples of 1/255 of the greatest one
    assert max(largest for largest, _ in gaps.values()) <= most, gaps


def in_float32(case: Any) -> bool:
    """Whether both forms compute it by float ops: norms, attention, and linear layers with several scales a row."""
    grouped = case.node.op == "linear" and case.node.tensors.get("m", np.empty(0)).ndim == 2
    return grouped or case.node.op in ("attention", "group_norm", "layer_norm")


EXACT = {name: case for name, case in OF_CODES.items() if not in_float32(case)}


@pytest.mark.parametrize("case", EXACT.values(), ids=EXACT)
def test_the_exact_form_gives_the_same_codes(case: Any) -> None:
    graph = graph_of(case).build()
    pixels = np.random.default_rng(0).integers(
        0, 256, (2, *graph.values[INPUT].shape[1:], graph.values[INPUT].shape[0])
    )
    assert {most for most, _ in parted(graph, pixels.astype(np.uint8), "exact").values()} == {0}


@pytest.mark.parametrize("seed", range(4))
def test_random_graphs_of_all_ops_run(seed: int) -> None:
    """Roundings add up from op to op, and a random table makes anything of a code that differs by one: most are equal."""
    rng = np.random.default_rng(seed)
    g = RandomGraph((3, 9, 8), seed)
    x = g.conv2d(INPUT, 16, 3)
    for op in rng.permutation([op for op in GROW if op != "attention"]):
        x = GROW[op](g, x)
    g.dequantize(x)
    graph = g.build()
    first = [share for _, share in parted(graph, g.images(2)).values()][:4]
    assert max(first) < 0.05


PREPROCESS = Preprocess(size=8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def artifact(recipe: str = "w8a8", preprocess: Preprocess = PREPROCESS) -> tuple[Artifact, Pixels]:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)),
        *(nn.Hardswish(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
    ).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
    classes = ["a", "b", "c", "d", "e"]
    return bw.quantize(net, pixels, preprocess=preprocess, recipe=recipe, classes=classes), pixels


@pytest.mark.parametrize("takes", ["pixels", "float"])
@pytest.mark.parametrize("recipe", ["w8a8", "w4a8", "w4a4", "w2a4", "wta8", "w1a8", "w1a1"])
def test_an_artifact_gives_its_own_logits(recipe: str, takes: Any) -> None:
    made, pixels = artifact(recipe)
    model = to_onnx(made, takes)
    given = pixels if takes == "pixels" else made.preprocess.normalise(pixels)
    (found,) = values_of(model, [], given)
    expected = bw.Engine(made)(pixels)
    spread = float(np.abs(expected - expected.mean(0)).max())
    assert np.abs(found - expected).max() < 2 / 15 * spread  # a code of 4 bits, in two layers
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert (onnx.TensorProto.INT4 in kinds) == (recipe in ("w4a8", "w4a4", "w2a4", "wta8"))


@pytest.mark.parametrize("recipe", ["w2a8", "wta8"])
def test_weights_of_two_bits_are_stored_as_int2(recipe: str, tmp_path: Path) -> None:
    made, pixels = artifact(recipe)
    models = [to_onnx(made, "float", int2=int2) for int2 in (False, True)]
    wide, narrow = ({tensor.name: tensor for tensor in model.graph.initializer} for model in models)
    assert {tensor.data_type for tensor in narrow.values()} & {onnx.TensorProto.INT2, onnx.TensorProto.INT4} == {
        onnx.TensorProto.INT2
    }
    assert [models[i].opset_import[0].version for i in (0, 1)] == [21, 25]
    for name, tensor in narrow.items():
        assert np.array_equal(onnx.numpy_helper.to_array(tensor).astype(float), onnx.numpy_helper.to_array(wide[name]))
    images = made.preprocess.normalise(pixels)
    # fused, ONNX Runtime 1.32 makes a QLinearConv of int2 of a convolution, and then refuses it
    first, second = (values_of(model, [], images, fuses=False)[0] for model in models)
    assert np.array_equal(first, second)
    (tmp_path / "m.onnx").write_bytes(models[1].SerializeToString())
    with pytest.warns(CaptureWarning, match="the scales of 3 of 3 layers' weights are its own"):
        back = bw.quantize(tmp_path / "m.onnx", pixels, preprocess=made.preprocess)
    for node in made.graph.nodes:
        if "weight" in node.tensors:
            assert np.array_equal(back.graph[node.name].tensors["weight"], node.tensors["weight"])


@pytest.mark.parametrize("recipe", ["w8a8", "w4a4", "w1a1"])
def test_the_exact_form_gives_the_artifacts_logits(recipe: str) -> None:
    made, pixels = artifact(recipe)
    assert np.array_equal(values_of(to_onnx(made, form="exact"), [], pixels)[0], bw.Engine(made)(pixels))


def test_weights_scales_and_names_are_the_artifacts() -> None:
    made, _ = artifact()
    model = to_onnx(made)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["classes"]) == ["a", "b", "c", "d", "e"]
    assert json.loads(metadata["provenance"])["recipe"]["name"] == "w8a8"
    assert Preprocess.from_json(json.loads(metadata["preprocess"])) == made.preprocess
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in made.graph.nodes:
        if "weight" in node.tensors:
            assert np.array_equal(np.abs(tensors[f"{node.name}.weight"]), np.abs(node.tensors["weight"]))
    quantized = {node.output[0]: node.input[1:] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for name, (scale, zero) in quantized.items():
        type_ = made.graph.values[name].type
        assert type_ is not None
        assert tensors[scale] == np.float32(type_.one_scale)
        assert tensors[zero] == type_.one_zero_point


def test_an_image_as_bits_is_refused() -> None:
    made, _ = artifact(preprocess=Preprocess(size=8, encoder="bitplanes:4"))
    with pytest.raises(GraphError, match="reads its image as bits, by bitplanes:4"):
        to_onnx(made)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bitwright.cli import main

    made, pixels = artifact()
    made.save(tmp_path / "m.bw.safetensors")
    np.savez(tmp_path / "set.npz", images=pixels, labels=np.zeros(len(pixels), np.int64))
    paths = [str(tmp_path / name) for name in ("m.bw.safetensors", "m.onnx", "set.npz")]
    assert main(["export", paths[0], "-o", paths[1]]) == 0
    capsys.readouterr()
    assert main(["compare", paths[0], paths[1], "--data", paths[2], "--limit", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["changed"], found["agreement_percent"]) == (40, 0, 100.0)
    assert {layer["name"] for layer in found["layers"]} >= {"0", "3"}
    assert max(layer["largest"] for layer in found["layers"]) <= 2
    assert main(["compare", paths[0], paths[1]]) == 2
    assert main(["export", paths[0], "-o", str(tmp_path / "m.txt")]) == 2
    assert main(["compare", paths[0], paths[1], "--data", paths[2]]) == 0
    assert "labels changed 0, agreement 100.00 %" in " ".join(capsys.readouterr().out.split())
