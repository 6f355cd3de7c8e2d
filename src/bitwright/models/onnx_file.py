"""A `.onnx` file: a network of ONNX operators, read without trusting anything that is in it."""

from bitwright.capture.stem import Stem
from bitwright.class_files import class_names
from bitwright.errors import LabelError, MissingExtraError
from bitwright.images.preprocess import Preprocess
from bitwright.models.loaded import LoadedModel


def load_onnx(spec: str) -> LoadedModel:
    """Load an ONNX model. What it does to its images first is told in `stem`, and is no part of the module.

    Raises:
        ModelError: the file is missing, damaged, refers to files outside its folder, or has ops that are not known.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    try:
        from bitwright.capture.onnx import open_onnx
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("onnx", "onnx_ir", "onnxscript"):
            raise
        raise MissingExtraError(error.name, "onnx") from error
    found = open_onnx(spec)
    preprocess = _whole(found.stem)
    try:
        classes = None if found.classes is None else class_names(found.classes, f"{spec}, its metadata")
    except LabelError:
        classes = None  # something else of that name
    return LoadedModel(
        spec,
        found.network,
        preprocess,
        classes,
        preprocess_from=None if preprocess is None else "the graph, which takes pixels",
        is_settled=preprocess is not None,
        stem=found.stem,
    )


def _whole(stem: Stem) -> Preprocess | None:
    """The whole preprocessing where the file takes pixels of a fixed size; else None."""
    if not stem.takes_pixels or stem.size is None:
        return None
    return stem.behind(Preprocess(**stem.fixed))
