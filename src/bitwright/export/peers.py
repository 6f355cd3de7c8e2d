"""Runtimes that run an ONNX model on the pixels of an artifact, by the name that `bitwright compare --peer` knows them by."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.errors import MissingExtraError, ModelError

Pixels = npt.NDArray[np.uint8]
Arrays = list[npt.NDArray[Any]]


class Peer(ABC):
    """An ONNX model in a runtime. `runtime` is what it calls itself, with its version."""

    runtime: str

    @abstractmethod
    def run(self, pixels: Pixels) -> Arrays:
        """Its outputs for pixels [N, H, W, C], which it gets as they are where it takes integers, else normalised.

        ModelError where it fails on them.
        """


class OnnxRuntime(Peer):
    def __init__(self, data: bytes, name: str, artifact: Artifact, threads: int | None) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnxruntime", "peers") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of onnxruntime's own types
            raise _fault(name, self.runtime, "load it", error) from error
        self._name, self._artifact = name, artifact
        self._input = self._session.get_inputs()[0]

    def run(self, pixels: Pixels) -> Arrays:
        given = _given(pixels, "int8" in self._input.type, self._artifact)
        try:
            found: Arrays = self._session.run(None, {self._input.name: given})
        except Exception as error:  # of onnxruntime's own types
            raise _fault(self._name, self.runtime, f"run it on {given.dtype} {list(given.shape)}", error) from error
        return found


class OpenVino(Peer):
    def __init__(self, data: bytes, name: str, artifact: Artifact, threads: int | None) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingExtraError("openvino", "peers") from error
        self.runtime = f"OpenVINO {openvino.__version__.partition('-')[0]}"
        settings = {} if threads is None else {"INFERENCE_NUM_THREADS": threads}
        try:
            core = openvino.Core()
            self._compiled = core.compile_model(core.read_model(data, b""), "CPU", settings)
        except Exception as error:  # of openvino's own types
            raise _fault(name, self.runtime, "load it", error) from error
        self._name, self._artifact = name, artifact

    def run(self, pixels: Pixels) -> Arrays:
        integers = self._compiled.inputs[0].element_type.get_type_name() in ("u8", "i8")
        given = _given(pixels, integers, self._artifact)
        try:
            found = self._compiled([given])
            return [np.array(found[i]) for i in range(len(self._compiled.outputs))]
        except Exception as error:  # of openvino's own types
            raise _fault(self._name, self.runtime, f"run it on {given.dtype} {list(given.shape)}", error) from error


def _given(pixels: Pixels, integers: bool, artifact: Artifact) -> npt.NDArray[Any]:
    return pixels if integers else artifact.preprocess.normalise(pixels)


def _fault(name: str, runtime: str, what: str, error: Exception) -> ModelError:
    return ModelError(f"{name}: {runtime} cannot {what}: {(str(error).splitlines() or [type(error).__name__])[0]}")


PEERS: dict[str, Callable[[bytes, str, Artifact, int | None], Peer]] = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
}
"""From a model's bytes and name, the artifact whose images it gets, and a number of threads."""
