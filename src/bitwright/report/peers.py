"""Other runtimes that run the same float model beside ours, where they are installed and asked for.

Each is given its normalised float input beforehand: that is not counted against it.
"""

import importlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import BitwrightError, ModelError, did_you_mean
from bitwright.evaluation import Predictor
from bitwright.images.preprocess import Preprocess

if TYPE_CHECKING:
    from bitwright.models.float_models import TorchModel

Floats = npt.NDArray[np.float32]
Run = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Peer:
    """A runtime with the float model in it: its answers for uint8 images, a call to time, and the bytes of its model."""

    name: str
    predict: Predictor
    call: Callable[[], object]
    bytes: int | None


def expect_peers(names: Iterable[str]) -> None:
    """Raise ModelError, before any work, unless each of these is a peer."""
    for name in names:
        if name not in PEERS:
            raise ModelError(f"expected a peer of {', '.join(PEERS)}, found {name!r}{did_you_mean(name, PEERS)}")


def open_peer(name: str, model: "TorchModel", preprocess: Preprocess, threads: int) -> Peer:
    """Give the model to the peer of this name.

    Raises:
        ModelError: the peer is not installed, or does not take the model.
    """
    expect_peers([name])
    module, make, label = PEERS[name]
    for needed in ("onnx", module):  # the model goes there as ONNX
        try:
            importlib.import_module(needed)
        except ImportError as error:
            raise ModelError(
                f"to compare with {name}, {needed} has to be installed: pip install 'bitwright[peers]'; or leave out "
                f"--peer {name}"
            ) from error
    image = preprocess.normalise(np.zeros((1, *preprocess.shape), np.uint8))
    try:
        run, size = make(model, image, threads)
        run(image)
    except BitwrightError:
        raise
    except Exception as error:  # somebody else's code raises what it likes
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{name} does not take this model: {first:.300}") from error
    return Peer(label, lambda images: run(preprocess.normalise(images)), lambda: run(image), size)


def torch_run(model: "TorchModel", threads: int) -> Run:
    """The module itself, in eval mode, without gradients, on so many threads."""
    import torch

    torch.set_num_threads(threads)
    model.module.eval()

    def run(images: Floats) -> Floats:
        with torch.inference_mode():
            logits: Floats = model.logits(torch.from_numpy(images)).numpy()
        return logits

    return run


def _onnxruntime(model: "TorchModel", image: Floats, threads: int) -> tuple[Run, int]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = _exported(model, image, Path(folder))
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        size = path.stat().st_size
    return lambda images: np.asarray(session.run(None, {"image": images})[0], np.float32), size


def _openvino(model: "TorchModel", image: Floats, threads: int) -> tuple[Run, int | None]:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = _exported(model, image, Path(folder))
        size = path.stat().st_size
        network = openvino.Core().read_model(path)
        requests: dict[int, Any] = {}

        def run(images: Floats) -> Floats:
            if len(images) not in requests:  # one compiled for each size of batch, as it is at its best
                network.reshape(list(images.shape))
                requests[len(images)] = openvino.Core().compile_model(network, "CPU", settings).create_infer_request()
            return np.array(requests[len(images)].infer({0: images})[0], np.float32)

        run(image)
    return run, size


def _exported(model: "TorchModel", image: Floats, folder: Path) -> Path:
    import warnings

    import torch

    path = folder / "model.onnx"
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is called old
        torch.onnx.export(
            model.module.eval(),
            (torch.from_numpy(image),),
            str(path),
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            dynamo=False,
            **names,
        )
    return path


PEERS: Mapping[str, tuple[str, Callable[..., Any], str]] = {
    "onnxruntime": ("onnxruntime", _onnxruntime, "ONNX Runtime, float32"),
    "openvino": ("openvino", _openvino, "OpenVINO, float32"),
}
"""By the name on the command line: the module, what makes a function of it, and what it is called on the page."""
