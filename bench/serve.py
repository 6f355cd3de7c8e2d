"""The server's figures, with the load on the same processors: `python -m bench.serve ARTIFACT --weights FLOAT --jpegs FOLDER`.

One request at a time, and the engine by itself; as many requests as come back; the same load on a plain FastAPI handler around
ONNX Runtime, int8 and float32; and JPEGs, beside `bitwright classify`. Twice the load that it can bear: `bench.overload`.
The artifact and FLOAT (safetensors) are of `bitwright.zoo:cifar_resnet20`. Every answer to infer is compared with the engine's,
to the bit; a plain handler's, with itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import uvloop

from bench.arguments import existing, toolkits
from bench.load import Load, closed, request
from bitwright.artifact import load
from bitwright.engine import Engine

INFER = "/v2/models/m/infer"
IMAGES = 64
CONNECTIONS = (1, 8, 64)


@contextmanager
def server(*command: str, port: int, path: str) -> Iterator[int]:
    """A server in a process of its own, from when it answers; yields its process id."""
    with subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                time.sleep(0.1)
                probe = uvloop.run(_answers(port, path))
                if probe:
                    break
            yield process.pid
        finally:
            process.terminate()


async def _answers(port: int, path: str) -> bool:
    try:
        load = await closed(port, [request(path, b"")], lambda number, body: True, 1, 5, most=1)
    except OSError:
        return False
    return bool(load.statuses)


def requests_of(pixels: np.ndarray) -> list[bytes]:
    """Each image as a request to infer, in binary both ways."""
    tensor = {"name": "input", "shape": [1, *pixels.shape[1:]], "datatype": "UINT8"}
    tensor["parameters"] = {"binary_data_size": pixels[0].nbytes}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return [request(INFER, head + image.tobytes(), headers) for image in pixels]


def engine_ms(engine: Engine, pixels: np.ndarray) -> float:
    times = []
    for i in range(500):
        begin = time.perf_counter()
        engine(pixels[i % len(pixels)])
        times.append(time.perf_counter() - begin)
    return 1e3 * median(times)


def rows(name: str, port: int, sent: Sequence[bytes], expected: Sequence[bytes] | None, seconds: float) -> list[Load]:
    """One load for each number of connections, printed as rows of a table."""
    first: dict[int, bytes] = {}

    def right(number: int, body: bytes) -> bool:
        if expected is not None:
            return body.endswith(expected[number])
        return first.setdefault(number, body) == body

    found = []
    for connections in CONNECTIONS:
        load = uvloop.run(closed(port, sent, right, connections, seconds))
        found.append(load)
        assert load.wrong == 0, f"{name}: {load.line()}"
        print(
            f"| {name} | {connections} | {load.rate:,.0f} | {load.percentile(50):.2f} | {load.percentile(99):.2f} |",
            flush=True,
        )
    return found


def jpegs(port: int, artifact: Path, files: Sequence[Path], rounds: int = 5) -> None:
    """Files a second of the command, and of the server, alone in a request and by sixteens in forms.

    In turns, since a machine's speed changes within seconds; a ratio is the median of those of the rounds.
    """
    command = [sys.executable, "-m", "bitwright.cli", "classify", str(artifact), *map(str, files), "--json"]
    data = [file.read_bytes() for file in files]
    alone = [request("/classify", body, {"Content-Type": "image/jpeg"}) for body in data]
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.jpg"\r\n\r\n%s\r\n'
    forms = [
        request(
            "/classify",
            b"".join(part % body for body in data[i : i + 16]) + b"--b--\r\n",
            {"Content-Type": "multipart/form-data; boundary=b"},
        )
        for i in range(0, len(data) - 15, 16)
    ]
    kinds = {"one file a request": (alone, 1), "16 files a form": (forms, 16)}
    of_command, of_server = list[float](), {name: list[float]() for name in kinds}
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        of_command.append(len(files) / (time.perf_counter() - begin))
        for name, (sent, each) in kinds.items():
            load = uvloop.run(closed(port, sent, lambda n, b: True, 8, 60, most=len(sent)))
            assert load.statuses.keys() == {"200"}, load.line()
            of_server[name].append(each * load.rate)
    print(f"\n`bitwright classify` of {len(files)} JPEGs: {_spread(of_command)} files/s, its start included")
    for name, rates in of_server.items():
        ratios = [rate / base for rate, base in zip(rates, of_command, strict=True)]
        print(
            f"/classify, {name}: {_spread(rates)} files/s; {median(ratios):.2f} of the command, "
            f"rounds {min(ratios):.2f} to {max(ratios):.2f}",
            flush=True,
        )


def _spread(rates: Sequence[float]) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def onnx_models(weights: Path, pixels: np.ndarray, folder: Path) -> tuple[Path, Path]:
    """ResNet-20 for ONNX Runtime: float32, and int8 as its documentation has it."""
    import torch
    from safetensors.torch import load_model

    from bench.floats import FloatNetwork

    toolkits("nncf", "onnxruntime", "openvino")
    from bench.runners import Models
    from bitwright.zoo import cifar_resnet20

    model = cifar_resnet20().eval()
    load_model(model, weights)
    with torch.no_grad():
        models = Models(FloatNetwork("resnet20", model, cifar_resnet20.preprocess, pixels), folder)
    return models.onnx, models.onnx_int8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=existing)
    parser.add_argument(
        "--weights", type=existing, help="the float network, for the plain handler; else that is left out"
    )
    parser.add_argument("--jpegs", type=existing, help="a folder of files to classify; else that is left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--port", type=int, default=8199)
    given = parser.parse_args()
    artifact = load(given.artifact)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, *artifact.preprocess.shape), np.uint8)
    engine = Engine(artifact, threads=given.threads)
    expected = [engine(image).tobytes() for image in pixels]
    alone = engine_ms(engine, pixels)
    port, threads = given.port, str(given.threads)
    print(f"engine() of one image: {alone:.3f} ms\n")
    print("| server | connections | requests/s | p50 ms | p99 ms |\n| --- | --- | --- | --- | --- |")
    serve = ("bitwright.cli", "serve", f"m={given.artifact}", "--port", str(port), "--threads", threads)
    with server(*serve, port=port, path="/v2/health/live"):
        sent = requests_of(pixels)
        found = rows("bitwright serve", port, sent, expected, given.seconds)
        over = found[0].percentile(50) - alone
        best = max(load.rate for load in found)
        if given.jpegs:
            jpegs(port, given.artifact, sorted(given.jpegs.glob("*.jpg")))
    if given.weights:
        with tempfile.TemporaryDirectory() as folder:
            print("\n| server | connections | requests/s | p50 ms | p99 ms |\n| --- | --- | --- | --- | --- |")
            for name, model in zip(("float32", "int8"), onnx_models(given.weights, pixels, Path(folder)), strict=True):
                with server("bench.plain", str(model), str(port), threads, port=port, path="/nothing"):
                    plain = [request("/infer", image.tobytes()) for image in pixels]
                    rows(f"FastAPI and ONNX Runtime, {name}", port, plain, None, given.seconds)
    print(f"\np50 of infer over engine(): {over:.2f} ms; at best {best:,.0f} requests/s")


if __name__ == "__main__":
    main()
