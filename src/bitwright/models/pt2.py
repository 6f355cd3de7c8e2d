"""A `.pt2` file: a program exported with torch.export, read without running anything that is in it.

`torch.export.load` trusts its file: it unpickles sample inputs, custom objects and some tensors, evaluates the expressions
of symbolic sizes, looks operators up by dotted paths (`torch.os.system`), compiles the names of values as Python, and loads
shared libraries. So the file is read here first, by an allow-list, and torch is given an archive that is written anew and
holds what was checked and nothing else: the graph of ATen operators, and tensors as raw bytes.
"""

import io
import json
import re
import zipfile
from typing import Any

import torch

from bitwright.capture.free_batch import fixed_image, with_free_batch
from bitwright.capture.quiet import quiet
from bitwright.capture.stem import Stem
from bitwright.errors import ModelError
from bitwright.files import open_file
from bitwright.json_keys import each_key_once
from bitwright.models.loaded import LoadedModel

_MODEL = "models/model.json"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_SAMPLES = "data/sample_inputs/model.pt"
_PLAIN = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/\w+|data/(weights/weight|constants/tensor)_\d+"
)
_DROPPED = re.compile(rf"extra/.*|{re.escape(_SAMPLES)}", re.DOTALL)
_NAME = re.compile(r"(\w+(\.\w+)*)?", re.ASCII)
_EXPRESSION = re.compile(r"[\w\s+\-*/(),<>=']*", re.ASCII)  # such as Symbol('s77', positive=True, integer=True)
_WORD = re.compile(
    r"\d+|[suz]f?\d+|True|False|positive|nonnegative|integer|"
    r"Symbol|Integer|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv",
    re.ASCII,
)
_ATEN = re.compile(r"torch\.ops\.aten\.([a-z]\w*)\.([A-Za-z]\w*)", re.ASCII)
_OPERATORS = {
    f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "getitem", "eq", "ne")
} | {f"_operator.{name}" for name in ("lt", "le", "gt", "ge")}
_LOCATING = ("stack_trace", "nn_module_stack")
"""The metadata of a node that errors use to say where it comes from; plain text to torch."""


def load_pt2(spec: str) -> LoadedModel:
    """Load an exported program, on the CPU.

    One for a fixed batch is made one for any (`with_free_batch`).

    Raises:
        CaptureError: its batch cannot be freed.
        ModelError: the file is missing, damaged or from an older torch.export, or holds more than ATen operators and tensors.
    """
    archive = _checked(spec)
    try:
        with quiet():
            program = torch.export.load(archive)
    except Exception as error:  # torch raises what it likes for a graph that is inconsistent
        raise ModelError(
            f"{spec}: torch.export.load of torch {torch.__version__} cannot read it: {_first_line(error)}"
        ) from error
    return LoadedModel(spec, with_free_batch(program), stem=_stem(program))


def _stem(program: torch.export.ExportedProgram) -> Stem | None:
    """What the program says of its images: their size and channels."""
    shape = fixed_image(program)
    if shape is None:
        return None
    _, channels, height, width = shape
    return Stem(None if -1 in (height, width) else (height, width), None if channels == -1 else channels)


def _checked(spec: str) -> io.BytesIO:
    """Read the file, check everything in it, and write it anew."""
    entries = _entries(spec)
    documents = {name: _json(entries, name, spec) for name in (_MODEL, *_CONFIGS)}
    documents[_MODEL]["guards_code"] = []  # Python, to be compiled; it would only check the inputs
    documents[_MODEL].pop("torch_version", None)
    try:
        for name in _CONFIGS:
            _check_payloads(documents[name])
        checked = {name: json.dumps(_check(document)).encode() for name, document in documents.items()}
    except (_RefusedError, RecursionError) as error:
        raise ModelError(f"{spec}: refused, because it holds {error}") from error
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in {**entries, **checked, _SAMPLES: b""}.items():
            archive.writestr(f"model/{name}", data)
    out.seek(0)
    return out


class _RefusedError(Exception):
    """The file holds something that is not on the allow-list."""


def _entries(spec: str) -> dict[str, bytes]:
    entries = {}
    try:
        with open_file(spec) as file, zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                name = info.filename.partition("/")[2]
                if _DROPPED.fullmatch(name):
                    continue
                if not _PLAIN.fullmatch(name) and name not in (_MODEL, *_CONFIGS):
                    raise ModelError(
                        f"{spec}: refused, because it holds {info.filename!r}, which is neither the graph of one model "
                        "nor a plain tensor; save it anew with torch.export.save"
                    )
                if info.compress_type != zipfile.ZIP_STORED:
                    raise ModelError(
                        f"{spec}: refused, because {info.filename!r} is compressed, which torch never does"
                    )
                if name in entries:
                    raise ModelError(f"{spec}: refused, because it holds {info.filename!r} twice")
                entries[name] = archive.read(info)
    except OSError as error:
        raise ModelError(f"cannot read {spec}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise ModelError(f"{spec}: not a file of torch.export.save, or a damaged one ({error})") from error
    return entries


def _json(entries: dict[str, bytes], name: str, spec: str) -> dict[str, Any]:
    try:
        document = json.loads(entries[name], object_pairs_hook=each_key_once)
    except KeyError:
        raise ModelError(
            f"{spec}: not a file of torch.export.save, or one of an older PyTorch: it has no {name}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{spec}: {name} is damaged: {error}") from error
    if not isinstance(document, dict):
        raise ModelError(f"{spec}: {name} is damaged: expected an object, found {type(document).__name__}")
    return document


def _check_payloads(config: dict[str, Any]) -> None:
    payloads = config.get("config")
    for name, payload in payloads.items() if isinstance(payloads, dict) else ():
        if not isinstance(payload, dict) or payload.get("use_pickle") is not False:
            raise _RefusedError(f"the pickled object {name!r}")


def _check(value: Any, key: str = "") -> Any:
    """The same JSON without what is not needed; `_RefusedError` for what torch would evaluate or run."""
    if key == "device" and isinstance(value, dict):
        return {"type": "cpu", "index": None}
    if key == "metadata" and isinstance(value, dict):
        return {k: v for k, v in value.items() if k in _LOCATING and isinstance(v, str)}
    if isinstance(value, dict):
        for name in value:
            _expect(_NAME.fullmatch(name), "the name", name)
        return {name: _check(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_check(item, key) for item in value]
    if isinstance(value, str):
        _check_text(value, key)
    return value


def _check_text(text: str, key: str) -> None:
    if key in ("as_string", "as_strings"):
        return  # an argument, which torch quotes
    if key == "target":
        _expect(text in _OPERATORS or _is_aten(text), "the operator", text)
    elif key == "expr_str":
        _expect(_EXPRESSION.fullmatch(text), "the expression", text)
        for word in re.findall(r"\w+", text):
            _expect(_WORD.fullmatch(word), "the expression", text)
    elif key in ("in_spec", "out_spec"):
        _expect(not re.search(r"__enum__|defaultdict|\\u", text), "the structure", text)
    else:
        _expect(key != "as_operator" and _NAME.fullmatch(text), "the name", text)


def _is_aten(target: str) -> bool:
    match = _ATEN.fullmatch(target)
    if match is None or match[1] == "from_file":
        return False
    packet = getattr(torch.ops.aten, match[1], None)
    return isinstance(getattr(packet, match[2], None), torch._ops.OpOverload)


def _expect(condition: object, what: str, text: str) -> None:
    if not condition:
        raise _RefusedError(f"{what} {text!r:.120}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
