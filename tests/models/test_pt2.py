"""Exported programs: they run as they did, and nothing that is hidden in one is ever run or unpickled."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitwright.engine import Engine
from bitwright.errors import ModelError
from bitwright.images.preprocess import Preprocess
from bitwright.models import load_model
from bitwright.quantization import quantize

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"
Entries = dict[str, bytes]


class Net(nn.Module):
    """A little of all: a buffer, a constant, a batch size that is used, an argument that is text."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)
        self.register_buffer("gain", torch.full((1,), 2.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.norm(self.conv(x)), approximate="none")
        return self.head(x.mean((2, 3)).reshape(x.size(0), 4)) * self.gain


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def exported(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(net, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=shapes), path)
    return path


def test_it_computes_what_the_module_does(net: nn.Module, exported: Path):
    loaded = load_model(str(exported))
    assert isinstance(loaded.model, torch.export.ExportedProgram)
    assert loaded.preprocess is None
    assert loaded.float_bytes == sum(
        4 * t.numel() for t in (*net.parameters(), *net.buffers()) if t.is_floating_point()
    )
    for count in (1, 5):
        x = torch.randn(count, 3, 8, 8)
        assert torch.equal(loaded.float_model.module.eval()(x), net(x))


def test_it_is_quantized_to_what_the_module_is(net: nn.Module, exported: Path):
    images = torch.randint(0, 256, (16, 8, 8, 3), dtype=torch.uint8).numpy()
    pre = Preprocess(size=8)
    ours = quantize(load_model(exported).model, images, preprocess=pre)
    theirs = quantize(net, images, preprocess=pre)
    assert (Engine(ours)(images) == Engine(theirs)(images)).all()


def test_its_weights_are_its_own(exported: Path):
    with pytest.raises(ModelError, match=r"holds its own weights; leave w.safetensors out$"):
        load_model(exported, "w.safetensors")


def changed(
    exported: Path, path: Path, change: Callable[[Entries], None], compression: int = zipfile.ZIP_STORED
) -> Path:
    """A copy of the archive, with its entries changed."""
    with zipfile.ZipFile(exported) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"net/{name}", data)
    return path


def edit(name: str, change: Callable[[Any], None]) -> Callable[[Entries], None]:
    """A change of one JSON document in the archive."""

    def apply(entries: Entries) -> None:
        document = json.loads(entries[name])
        change(document)
        entries[name] = json.dumps(document).encode()

    return apply


def test_the_copy_loads_when_nothing_is_changed(exported: Path, tmp_path: Path):
    assert load_model(changed(exported, tmp_path / "same.pt2", lambda entries: None)).float_bytes > 0


def test_a_pickled_sample_input_is_not_looked_at(exported: Path, tmp_path: Path):
    trace = tmp_path / "it-ran"
    path = changed(exported, tmp_path / "evil.pt2", lambda entries: entries.update({SAMPLES: payload(trace)}))
    load_model(path)
    assert not trace.exists()


def test_guards_are_not_compiled(net: nn.Module, exported: Path, tmp_path: Path):
    trace = tmp_path / "it-ran"
    guard = f"open({str(trace)!r}, 'w')"
    path = changed(exported, tmp_path / "evil.pt2", edit(MODEL, lambda d: d.update(guards_code=[guard])))
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(load_model(path).float_model.module(x), net(x))
    assert not trace.exists()


def payload(trace: Path) -> bytes:
    """A pickle, in torch's wrapping, that writes a file when it is read."""
    buffer = io.BytesIO()
    torch.save((Evil(trace),), buffer)
    return buffer.getvalue()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def node(document: Any) -> Any:
    return document["graph_module"]["graph"]["nodes"][0]


def rename_output(document: Any) -> None:
    document["graph_module"]["graph"]["nodes"][-1]["outputs"][0]["as_tensor"]["name"] = "x; import os; os.abort()"


def pickle_a_weight(document: Any) -> None:
    document["config"]["conv.bias"]["use_pickle"] = True


def run_an_expression(document: Any) -> None:
    sizes = document["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
    sizes[0]["as_expr"]["expr_str"] = "__import__('os').abort()"


def run_a_spelt_expression(document: Any) -> None:
    sizes = document["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
    sizes[0]["as_expr"]["expr_str"] = "eval(chr(49))"


def import_a_module(document: Any) -> None:
    call = document["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = '[1, {"type": "builtins.dict", "context": "{\\"__enum__\\": 1}", "children_spec": []}]'


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (edit(WEIGHTS, pickle_a_weight), "refused, because it holds the pickled object 'conv.bias'"),
        (edit(MODEL, lambda d: node(d).update(target="torch.os.abort")), "the operator 'torch.os.abort'"),
        (
            edit(MODEL, lambda d: node(d).update(target="torch.ops.aten.from_file.default")),
            "the operator 'torch.ops.aten.",
        ),
        (
            edit(MODEL, lambda d: node(d).update(target="torch.ops.aten.add.__call__")),
            "the operator 'torch.ops.aten.add.__",
        ),
        (
            edit(MODEL, lambda d: node(d).update(target="torch.ops.aten.nope.default")),
            "the operator 'torch.ops.aten.nope",
        ),
        (edit(MODEL, rename_output), "refused, because it holds the name 'x; import os"),
        (edit(MODEL, run_an_expression), "refused, because it holds the expression"),
        (edit(MODEL, run_a_spelt_expression), r"refused, because it holds the expression 'eval\(chr\(49\)\)'"),
        (edit(MODEL, import_a_module), "refused, because it holds the structure"),
        (
            lambda entries: entries.update({"data/constants/opaque_obj_0": pickle.dumps(1)}),
            "refused, because it holds 'net/data/constants/opaque_obj_0'",
        ),
        (
            lambda entries: entries.update({"data/weights/model.pt": b""}),
            "refused, because it holds 'net/data/weights/model.pt'",
        ),
        (
            lambda entries: entries.update({"data/aotinductor/model/code.so": b""}),
            "refused, because it holds 'net/data/aotinductor/model/code.so'",
        ),
        (lambda entries: entries.pop(MODEL), "one of an older PyTorch: it has no models/model.json"),
        (lambda entries: entries.update({MODEL: b"{"}), "models/model.json is damaged"),
        (
            lambda entries: entries.update({CONSTANTS: b"[]"}),
            "model_constants_config.json is damaged: expected an object",
        ),
        (edit(MODEL, lambda d: d.pop("graph_module")), "torch.export.load of torch .* cannot read it"),
        (lambda entries: entries.pop("data/weights/weight_0"), "torch.export.load of torch .* cannot read it"),
    ],
)
def test_what_is_not_a_graph_of_aten_and_plain_tensors_is_refused(
    change: Callable[[Entries], None], reason: str, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(ModelError, match=reason):
        load_model(changed(exported, tmp_path / "evil.pt2", change))
    assert capfd.readouterr().err == ""


def test_a_compressed_archive_is_refused(exported: Path, tmp_path: Path):
    path = changed(exported, tmp_path / "bomb.pt2", lambda entries: None, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="is compressed, which torch never does"):
        load_model(path)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "^cannot read .*: No such file"), (b"PK", "not a file of torch.exp")]
)
def test_files_that_cannot_be_read(content: bytes | None, reason: str, tmp_path: Path):
    path = tmp_path / "net.pt2"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        load_model(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_named_twice_is_refused(exported: Path, tmp_path: Path):
    """Each name would be read anew: a small file could take minutes."""
    path = tmp_path / "twice.pt2"
    with zipfile.ZipFile(exported) as before, zipfile.ZipFile(path, "w") as after:
        for info in [*before.infolist(), before.infolist()[0], before.infolist()[1]]:
            after.writestr(info.filename, before.read(info.filename))
    with pytest.raises(ModelError, match="twice"):
        load_model(str(path))
