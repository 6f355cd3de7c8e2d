"""The text-line classifier in ONNX, in and out: `python -m bench.textlines DATA [--recipe w8a8] [--range octav] [--no-timing]`.

DATA is the folder with `onnx/textline-orientation.onnx` and the lists of text lines. Prints how far the float graph is from
ONNX Runtime, how many labels w8a8 changes, how many of those the exported QDQ model changes again, how many change when
ONNX Runtime's own int8 is read back, and the median latency of an image beside ONNX Runtime in float32 and in its own
int8, of the same images; all in turns.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.version_converter

import bitwright as bw
from bench.arguments import existing, toolkits
from bitwright.engine import Engine
from bitwright.export import to_onnx
from bitwright.models import load_model

if TYPE_CHECKING:
    import onnxruntime

PREPROCESS = bw.Preprocess(size=(48, 192), mean=0.5, std=0.5)
LOGITS = "linear_1.tmp_1"
"""What the file calls the numbers in front of its softmax."""
ROUNDS = 300


class Reader:
    """Images one by one, for ONNX Runtime's calibration."""

    def __init__(self, images: Any) -> None:
        self._rest = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._rest, None)
        return None if image is None else {"x": image[None]}


def pixels_of(path: Path) -> Any:
    return np.concatenate([batch.images for batch in bw.open_source(path).batches(PREPROCESS, 64)])


def session(data: bytes, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def theirs(path: Path, calibration: Any) -> bytes:
    """ONNX Runtime's own int8 of the file: QDQ, static, one scale a channel."""
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        prepared = Path(folder) / "prepared.onnx"
        newer = Path(folder) / "newer.onnx"  # opset 11 has no scales a channel
        onnx.save(onnx.version_converter.convert_version(onnx.load(path), 17), newer)
        quant_pre_process(str(newer), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(out), Reader(calibration), per_channel=True, weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )  # fmt: skip
        return out.read_bytes()


def medians(runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds of each, in turns."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - start)
    return {name: 1000 * float(np.median(seconds)) for name, seconds in found.items()}


def _read(data: bytes, calibration: Any, test: Any) -> tuple[Any, list[str]]:
    """The classes that the engine gives the test lines, of a quantized file whose scales are kept; and what was said of it."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        path = Path(folder) / "int8.onnx"
        path.write_bytes(data)
        artifact = bw.quantize(path, calibration, preprocess=PREPROCESS)
    return Engine(artifact)(test).argmax(1), [str(note.message) for note in notes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=existing)
    parser.add_argument("--recipe", default="w8a8")
    parser.add_argument("--range", help="How ranges are chosen, in place of the recipe's way.")
    parser.add_argument("--artifact", type=existing, help="Take this one in place of a new one.")
    parser.add_argument("--no-timing", action="store_true")
    given = parser.parse_args()
    toolkits("onnxruntime")
    warnings.simplefilter("ignore")
    path = given.data / "onnx" / "textline-orientation.onnx"
    test, calibration = (pixels_of(given.data / f"text-lines-{part}.csv") for part in ("test", "calibrate"))
    images = PREPROCESS.normalise(test)
    model = load_model(path).float_model
    captured = model.capture((3, 48, 192))
    proto = onnx.load(path)
    proto.graph.output.append(onnx.helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, None))
    expected = session(proto.SerializeToString(), 1).run([LOGITS], {"x": images})[0]
    logits, classes = bw.float_model(captured).predict(images), expected.argmax(1)
    print(f"float labels equal to ONNX Runtime's: {int((logits.argmax(1) == classes).sum())} of {len(classes)}")
    print(f"logits differ by {np.abs(logits - expected).max():.1e} at most")
    recipe = bw.Recipe.parse(given.recipe)
    recipe = replace(recipe, range=given.range or recipe.range)
    artifact = bw.load(given.artifact) if given.artifact else bw.quantize(
        captured, calibration, preprocess=PREPROCESS, recipe=recipe
    )  # fmt: skip
    engine, exported = Engine(artifact), to_onnx(artifact).SerializeToString()
    ours, out = engine(test).argmax(1), session(exported, 1).run(None, {"pixels": test})[0].argmax(1)
    other = theirs(path, PREPROCESS.normalise(calibration))
    int8 = session(other, 1).run(None, {"x": images})[0].argmax(1)
    print(f"labels changed by {given.recipe}: {int((ours != classes).sum())}")
    print(f"labels changed by ONNX Runtime's int8: {int((int8 != classes).sum())}")
    print(f"labels of the exported model that differ from the artifact's: {int((out != ours).sum())}")
    read, told = _read(other, calibration, test)
    print(f"labels of ONNX Runtime's int8, read by bitwright, that differ from its own: {int((read != int8).sum())}")
    print("\n".join(told))
    if given.no_timing:
        return
    one = test[:1]
    for threads in (1, 2):
        fast = Engine(artifact, threads=threads)
        float32, integer, qdq = (session(data, threads) for data in (path.read_bytes(), other, exported))
        found = medians(
            {
                "bitwright": lambda fast=fast: fast(one),
                "ONNX Runtime float32": lambda s=float32: s.run(None, {"x": images[:1]}),
                "ONNX Runtime int8": lambda s=integer: s.run(None, {"x": images[:1]}),
                "ONNX Runtime on the export": lambda s=qdq: s.run(None, {"pixels": one}),
            }
        )
        for name, ms in found.items():
            print(f"{threads} threads, {name}: {ms:.3f} ms, bitwright's is {found['bitwright'] / ms:.2f} of it")


if __name__ == "__main__":
    main()
