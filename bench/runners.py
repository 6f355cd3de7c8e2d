"""Each toolkit at its best settings, as a function from images to logits. All are given the same float network."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import openvino as ov
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from bench.floats import FloatNetwork
from bench.inductor import RefusedError, inductor
from bitwright.artifact import load
from bitwright.engine import Engine
from bitwright.quantization import quantize

Prepared = Callable[[npt.NDArray[np.uint8]], Callable[[], npt.NDArray[np.float32]]]
"""From images to what is timed. Peers get their normalised float input beforehand: that is not counted against them."""

INPUT, OUTPUT = "image", "logits"


class Models:
    """The files of one network that the toolkits load; made once and kept in `folder`."""

    def __init__(self, network: FloatNetwork, folder: Path) -> None:
        self.network = network
        self.artifact = folder / f"{network.name}.bitwright"
        self.onnx, self.onnx_int8 = folder / f"{network.name}.onnx", folder / f"{network.name}.int8.onnx"
        self.openvino_int8 = folder / f"{network.name}.int8.xml"
        folder.mkdir(parents=True, exist_ok=True)
        if not self.artifact.exists():
            quantize(network.model, network.images, preprocess=network.preprocess).save(self.artifact)
        if not self.onnx.exists():
            self._export()
        if not self.onnx_int8.exists():
            self._quantize_for_onnxruntime()
        if not self.openvino_int8.exists():
            self._quantize_for_openvino()

    def of_seven_bits(self) -> Path:
        """The artifact at w7a8: of its weights no two products leave 16 bits."""
        path = self.artifact.with_suffix(".w7a8")
        if not path.exists():
            quantize(self.network.model, self.network.images, preprocess=self.network.preprocess, recipe="w7a8").save(
                path
            )
        return path

    def _export(self) -> None:
        example = torch.from_numpy(self.network.normalized(self.network.images[:1]))
        names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
        axes = {INPUT: {0: "batch"}, OUTPUT: {0: "batch"}}
        torch.onnx.export(self.network.model, (example,), str(self.onnx), dynamic_axes=axes, dynamo=False, **names)

    def _quantize_for_onnxruntime(self) -> None:
        images = [{INPUT: self.network.normalized(image[None])} for image in self.network.images]

        class Images(CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
                return images.pop() if images else None

        ready = self.onnx.with_suffix(".ready.onnx")
        quant_pre_process(str(self.onnx), str(ready), skip_symbolic_shape=self.network.of_tokens)
        if self.network.of_tokens:  # static ranges of a tensor leave nothing of a transformer
            quantize_dynamic(str(ready), str(self.onnx_int8), per_channel=True, weight_type=QuantType.QInt8)
            return
        options = {"quant_format": QuantFormat.QDQ, "per_channel": True}
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(str(ready), str(self.onnx_int8), Images(), **options, **types)

    def _quantize_for_openvino(self) -> None:
        nncf.set_log_level(logging.ERROR)
        images = nncf.Dataset([self.network.normalized(image[None]) for image in self.network.images])
        kind = nncf.ModelType.TRANSFORMER if self.network.of_tokens else None
        made = nncf.quantize(ov.Core().read_model(self.onnx), images, model_type=kind)
        ov.save_model(made, self.openvino_int8)


def bitwright_native(artifact: Path, threads: int) -> Prepared:
    engine = Engine(load(artifact), backend="native", threads=threads)
    return lambda images: lambda: engine(images)


def onnxruntime(models: Models, threads: int, file: Path) -> Prepared:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def prepared(images: npt.NDArray[np.uint8]) -> Callable[[], npt.NDArray[np.float32]]:
        given = {INPUT: models.network.normalized(images)}
        return lambda: np.asarray(session.run(None, given)[0])

    return prepared


def openvino(models: Models, threads: int, file: Path, precision: str | None) -> Prepared:
    core = ov.Core()

    def prepared(images: npt.NDArray[np.uint8]) -> Callable[[], npt.NDArray[np.float32]]:
        given = models.network.normalized(images)
        model = core.read_model(file)
        model.reshape(list(given.shape))
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        if precision is not None:
            settings["INFERENCE_PRECISION_HINT"] = precision
        try:
            request = core.compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:  # held to AVX2, it cannot make a depthwise layer of int8
            raise RefusedError(str(error).strip().splitlines()[-1]) from error
        return lambda: np.array(request.infer({0: given})[0])

    return prepared


def runners(models: Models, threads: int) -> dict[str, Prepared]:
    found = {
        "bitwright": bitwright_native(models.artifact, threads),
        "onnxruntime int8": onnxruntime(models, threads, models.onnx_int8),
        "onnxruntime float32": onnxruntime(models, threads, models.onnx),
        "openvino int8": openvino(models, threads, models.openvino_int8, None),
        "openvino bfloat16": openvino(models, threads, models.onnx, "bf16"),
        "openvino float32": openvino(models, threads, models.onnx, "f32"),
    }
    return found if models.network.of_tokens else {**found, "inductor int8": inductor(models.network, threads)}


def held_runners(models: Models, threads: int) -> dict[str, Prepared]:
    """Those that can be held to an instruction set, and bitwright at w7a8; ONNX Runtime has no setting for it."""
    found = runners(models, threads)
    w7a8 = bitwright_native(models.of_seven_bits(), threads)
    return {"bitwright": found["bitwright"], "bitwright w7a8": w7a8} | {
        name: run for name, run in found.items() if name.startswith("openvino") and "bfloat16" not in name
    }
