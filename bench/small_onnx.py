"""Small ONNX files to read and to mutate: `python -m bench.small_onnx FOLDER [--tools]`.

Writes float.onnx, a network of convolutions, a residual, a concat and a table, 24 kB, and what ONNX Runtime's quantize_static
makes of it, qdq.onnx and qoperator.onnx. With `--tools` also torchao.onnx (PT2E, its quantizer for x86) and modelopt.onnx
(NVIDIA's Model Optimizer for TensorRT, its INT8_DEFAULT_CFG), of those that are installed, and says what is kept of them.
"""

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bitwright as bw
from bitwright.capture.quiet import quiet
from bitwright.errors import CaptureWarning

SHAPE = (3, 8, 8)


class Small(nn.Module):
    """float32 [N, 3, 8, 8] to [N, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.first, self.second = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.side, self.fc = nn.Conv2d(16, 16, 1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        y = F.leaky_relu(self.first(x), 0.1)
        y = self.second(y) * torch.sigmoid(y)
        x = F.max_pool2d(torch.relu(x + y), 2)
        x = torch.cat([x, F.relu6(self.side(x))], 1)[:, ::2]
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Reader:
    """Images for `quantize_static`, four batches of sixteen."""

    def __init__(self) -> None:
        images = np.random.default_rng(0).normal(0, 1, (4, 16, *SHAPE)).astype(np.float32)
        self._batches: Iterator[dict[str, Any]] = iter([{"x": batch} for batch in images])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


def small(path: Path) -> None:
    """Write the float network."""
    torch.manual_seed(0)
    how: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}, "opset_version": 17, "dynamo": False}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Small().eval(), (torch.zeros(1, *SHAPE),), str(path), **how)


def quantized(float_path: Path, path: Path, form: str, **how: Any) -> None:
    """Have ONNX Runtime quantize it: `form` is QDQ or QOperator."""
    from onnxruntime.quantization import QuantFormat, quantize_static

    with quiet():
        quantize_static(str(float_path), str(path), Reader(), quant_format=QuantFormat[form], **how)


def by_torchao(path: Path) -> None:
    """Have torchao quantize it as it does for x86, and torch.onnx write that."""
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    torch.manual_seed(0)
    images, batch = torch.randn(64, *SHAPE), ({0: torch.export.Dim("n")},)
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = prepare_pt2e(torch.export.export(Small().eval(), (images,), dynamic_shapes=batch).module(), quantizer)
        model(images)
        model = convert_pt2e(model)
        move_exported_model_to_eval(model)
        torch.onnx.export(
            model, (images[:2],), str(path), dynamo=True, input_names=["x"], dynamic_shapes=batch, opset_version=18,
            external_data=False, verbose=False,
        )  # fmt: skip


def by_modelopt(path: Path) -> None:
    """Have NVIDIA's Model Optimizer quantize it, and torch.onnx write that."""
    import modelopt.torch.quantization as mtq

    torch.manual_seed(0)
    model, images = Small().eval(), torch.randn(64, *SHAPE)
    how: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}, "opset_version": 17, "dynamo": False}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mtq.quantize(model, mtq.INT8_DEFAULT_CFG, lambda model: model(images))
        torch.onnx.export(model, (images[:1],), str(path), **how)


TOOLS = {"torchao": by_torchao, "modelopt": by_modelopt}


def said_of(path: Path) -> Iterator[str]:
    """What bitwright says of a file, and how far its logits are from ONNX Runtime's, of the largest of these."""
    import onnxruntime

    pixels = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), np.uint8)
    preprocess = bw.Preprocess(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = bw.Engine(bw.quantize(path, pixels, preprocess=preprocess))(pixels)
    yield from (str(one.message) for one in told if issubclass(one.category, CaptureWarning))
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": preprocess.normalise(pixels)})[0]
    share = np.abs(found - expected).max() / np.abs(expected).max()
    equal = int((found.argmax(1) == expected.argmax(1)).sum())
    yield f"logits differ by at most {share:.1%} of the largest; {equal} of {len(found)} labels are equal"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tools", action="store_true")
    given = parser.parse_args()
    folder = given.folder
    small(folder / "float.onnx")
    for form in ("QDQ", "QOperator"):
        quantized(folder / "float.onnx", folder / f"{form.lower()}.onnx", form, per_channel=True)
    for name, write in TOOLS.items() if given.tools else ():
        path = folder / f"{name}.onnx"
        try:
            write(path)
        except ModuleNotFoundError as error:
            print(f"{name}: {error}")
            continue
        print(*(f"{name}: {line}" for line in said_of(path)), sep="\n")


if __name__ == "__main__":
    main()
