"""A convolution of +-1 by +-1 here and in OpenVINO, in one run: `python -m bench.binary_convolution`.

OpenVINO's graph is FakeQuantize to two levels, BinaryConvolution and its float32 sums; ours is a binary convolution between
8-bit codes and signs. Both compute on one thread. OpenVINO's own profile gives the time of the BinaryConvolution alone and of
the whole graph, our plan that of the step. The two take turns; printed are the least times. OpenVINO's sums are first
compared with NumPy's.
"""

import argparse

import numpy as np
import numpy.typing as npt

from bench.arguments import toolkits
from bench.kernels import Shape
from bitwright.engine.native import make_plan
from tests.kernels.random_graph import RandomGraph

SHAPES = (
    Shape("3x3", 256, 14, 256, 3, codes="binary", weights="binary"),
    Shape("3x3", 128, 28, 128, 3, codes="binary", weights="binary"),
    Shape("3x3", 64, 56, 64, 3, codes="binary", weights="binary"),
    Shape("3x3", 512, 7, 512, 3, codes="binary", weights="binary"),
)


class OpenVino:
    """BinaryConvolution behind the FakeQuantize that makes its bits."""

    def __init__(self, shape: Shape, rng: np.random.Generator) -> None:
        import openvino as ov
        from openvino import opset1, opset13

        signs = rng.integers(0, 2, (shape.out, shape.channels, shape.kernel, shape.kernel), np.uint8)
        self.x = rng.normal(size=(1, shape.channels, shape.side, shape.side)).astype(np.float32)
        self.weight = signs.astype(np.float32) * 2 - 1
        x = opset1.parameter(self.x.shape, np.float32)
        low, high = (opset1.constant(np.full((1, 1, 1, 1), v, np.float32)) for v in (-1, 1))
        bits = opset1.fake_quantize(x, low, high, low, high, levels=2)
        # The kernel reads the bits of a byte in the other order than the constant keeps them.
        turned = np.unpackbits(np.packbits(signs, bitorder="little"), bitorder="big").reshape(signs.shape)
        packed = opset13.constant(turned, dtype=ov.Type.u1)
        pad = shape.kernel // 2
        y = opset1.binary_convolution(
            bits, packed, [1, 1], [pad, pad], [pad, pad], [1, 1], mode="xnor-popcount", pad_value=0.0
        )
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERF_COUNT": True}
        compiled = ov.Core().compile_model(ov.Model([y], [x]), "CPU", settings)
        self.request = compiled.create_infer_request()

    def run(self) -> npt.NDArray[np.float32]:
        return np.array(self.request.infer({0: self.x})[0])

    def seconds(self) -> tuple[float, float]:
        """Seconds of the convolution alone, and of all nodes."""
        self.request.infer({0: self.x})
        nodes = self.request.get_profiling_info()
        alone = sum(n.real_time.total_seconds() for n in nodes if n.node_type == "BinaryConvolution")
        return alone, sum(n.real_time.total_seconds() for n in nodes)

    def check(self) -> None:
        """SystemExit where a sum of the middle of the image is not NumPy's."""
        middle, half = self.x.shape[2] // 2, self.weight.shape[2] // 2
        window = self.x[0, :, middle - half : middle + half + 1, middle - half : middle + half + 1]
        expected = (self.weight * np.where(window > 0, 1.0, -1.0)).sum((1, 2, 3))
        if not np.array_equal(self.run()[0, :, middle, middle], expected):
            raise SystemExit("OpenVINO's sums are not those of +-1 by +-1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    args = parser.parse_args()
    toolkits("openvino")
    print("| convolution | bitwright us | openvino us, alone | with its conversions | ratio | with conversions |")
    print("| --- | --- | --- | --- | --- | --- |")
    for shape in SHAPES:
        graph = RandomGraph((3, shape.side, shape.side))
        x = graph.conv2d("input", shape.channels, 1, scheme="binary")
        name = graph.conv2d(x, shape.out, shape.kernel, weights="binary")
        graph.linear(graph.flatten(graph.global_avg_pool2d(name)), 10, to_float=True)
        plan, image = make_plan(graph.build(), 1), graph.images()
        index = next(i for i, step in enumerate(plan.time_steps(image)) if step[0] == name and step[4])
        peer = OpenVino(shape, np.random.default_rng(0))
        peer.check()
        ours, alone, whole = float("inf"), float("inf"), float("inf")
        for _ in range(args.rounds):
            ours = min(ours, plan.time_steps(image)[index][6])
            of_peer = peer.seconds()
            alone, whole = min(alone, of_peer[0]), min(whole, of_peer[1])
        size = f"{shape.name} {shape.channels} -> {shape.out} at {shape.side} x {shape.side}"
        figures = f"{ours * 1e6:.1f} | {alone * 1e6:.0f} | {whole * 1e6:.0f} | {ours / alone:.2f} | {ours / whole:.2f}"
        print(f"| {size} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
