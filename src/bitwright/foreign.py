"""What was given in place of an artifact, and what to do with it: for errors. Only first bytes and names are looked at."""

import io
import re
import zipfile

_QUANTIZE = "bitwright quantize"
_TO_QUANTIZE = f"make an artifact with: {_QUANTIZE} MODEL --weights {{0}} --data SRC -o OUT"
_CHECKPOINT = f"a checkpoint of PyTorch, not an artifact; {_TO_QUANTIZE}"
_PICTURES = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n", "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"))
_NAME = re.compile(r"[A-Za-z]\w*(\.\w+)*", re.ASCII)


def what_it_is(data: bytes, name: str) -> str | None:
    """What the file `name` holds, and what to do; None where nobody knows."""
    if not data:
        return "an empty file; was it copied to the end?"
    if data.startswith(b"PK\x03\x04"):
        return _of_zip(data).format(name)
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _CHECKPOINT.format(name)
    if data.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, and not the file that it stands for; fetch that with: git lfs pull"
    if data.lstrip()[:9].lower() in (b"<!doctype", b"<html") or data.lstrip()[:5].lower() == b"<html":
        return "a page of HTML, perhaps what a server says in place of a file; download it again"
    if name.endswith(".onnx"):
        return f"a float model in ONNX, not an artifact; make one with: {_QUANTIZE} {name} --data SRC -o OUT"
    for start, kind in _PICTURES:
        if data.startswith(start):
            return f"an image ({kind}), not an artifact; the artifact comes first, then the images"
    return None


def unreadable(error: OSError, name: str) -> str:
    """What to do about the name of an artifact that cannot be read; empty where nothing comes to mind."""
    if isinstance(error, IsADirectoryError):
        return "; an artifact is a file, and comes before the images"
    if not isinstance(error, FileNotFoundError):
        return ""
    if name.startswith(("torchvision:", "timm:")):
        return (
            f"; an artifact is a file: make one of this model with: {_QUANTIZE} {name} --weights FILE --data SRC -o OUT"
        )
    if _NAME.fullmatch(name) and "." not in name:
        return (
            f"; an artifact is a file. If {name} is the name of a model, say whose, torchvision:{name}, timm:{name} or "
            f"my_module:{name}, and quantize it first: {_QUANTIZE} MODEL --weights FILE --data SRC -o OUT"
        )
    return ""


def _of_zip(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return "a zip file that was cut off, such as a checkpoint of PyTorch; copy it again"
    ends = {name.partition("/")[2] for name in names}
    if "constants.pkl" in ends:
        return (
            "a TorchScript module, which is not read; quantize the model that it was made from: "
            + _QUANTIZE
            + " --help"
        )
    if "archive_format" in ends or any(name.startswith("models/") for name in (*names, *ends)):
        return f"a program of torch.export, not an artifact; make one with: {_QUANTIZE} {{0}} --data SRC -o OUT"
    if "data.pkl" in ends:
        return _CHECKPOINT
    return "a zip file, not an artifact"
