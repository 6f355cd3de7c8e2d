"""What `bench.serve` measures against: a plain FastAPI handler around ONNX Runtime, as tutorials have it.

    python -m bench.plain MODEL.onnx PORT THREADS

Pixels come as the body, uint8 [N, 32, 32, 3], logits go as float32 bytes: less to parse than the Open Inference Protocol has.
"""

import sys

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, Request, Response

from bitwright.zoo import cifar_resnet20


def make_app(model: str, threads: int) -> FastAPI:
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


if __name__ == "__main__":
    uvicorn.run(
        make_app(sys.argv[1], int(sys.argv[3])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning",
        loop="uvloop", http="httptools",
    )  # fmt: skip
