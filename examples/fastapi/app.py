"""A service of your own around an artifact: POST a picture to /classify, get the five best classes.

    pip install 'bitwright[serve]'
    BITWRIGHT_ARTIFACT=m.bw.safetensors uvicorn app:app --app-dir examples/fastapi

`bitwright serve` has limits, metrics and queues besides; this is for what belongs into an application that is there already.
"""

import os
from typing import Any

from fastapi import FastAPI, HTTPException, Request

import bitwright as bw

app = FastAPI()
classifier = bw.Classifier(bw.load(os.environ["BITWRIGHT_ARTIFACT"]))
MOST_BYTES = 20_000_000


@app.post("/classify")
async def classify(request: Request) -> dict[str, Any]:
    picture = bytearray()
    async for part in request.stream():
        picture += part
        if len(picture) > MOST_BYTES:
            raise HTTPException(413, f"expected a picture of at most {MOST_BYTES} bytes")
    (prediction,) = classifier(bytes(picture))  # many requests may call it at once
    if prediction.error is not None:
        raise HTTPException(422, prediction.error)
    return {"top": prediction.to_json()["top"]}
