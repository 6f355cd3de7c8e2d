"""What `bench.serve` measures against: a plain FastAPI handler around ONNX Runtime, as tutorials have it.

    python -m bench.plain MODEL.onnx PORT THREADS

Pixels come as the body, uint8 [N, 32, 32, 3], logits go as float32 bytes: less to parse than the Open Inference Protocol has.
"""

import argparse

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

from bench.arguments import existing
from bitwright.zoo import cifar_resnet20


def make_app(model: str, threads: int) -> FastAPI:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    preprocess = cifar_resnet20.preprocess
    app = FastAPI()

    @app.post("/infer")
    async def infer(request: Request) -> Response:
        pixels = np.frombuffer(await request.body(), np.uint8).reshape(-1, *preprocess.shape)
        (logits,) = session.run(None, {name: preprocess.normalise(pixels)})
        return Response(logits.tobytes(), media_type="application/octet-stream")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=existing)
    parser.add_argument("port", type=int)
    parser.add_argument("threads", type=int)
    given = parser.parse_args()
    app = make_app(str(given.model), given.threads)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", loop="uvloop", http="httptools")


if __name__ == "__main__":
    main()
