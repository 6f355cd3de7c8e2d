"""What the routes do, from a request whose body is there to its answer. No FastAPI in here: the hot path goes around it."""

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from bitwright import __version__
from bitwright.serve import protocol
from bitwright.serve.models import Models, ServedModel
from bitwright.serve.refusal import JSON, Refusal, json_response
from bitwright.serve.settings import Settings
from bitwright.serve.uploads import files_of, unpacked

Result = TypeVar("Result")
_SMALL = 64 * 1024
"""Bytes of a request that are read on the event loop; more of them, in a thread, so that nobody else waits for that."""


class Api:
    """The answers. Each raises a Refusal where there is none."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self.models, self._settings = models, settings

    async def infer(self, scope: Scope, model: str, version: str | None = None) -> Response:
        """Tensors in, tensors out."""
        served = self.models.get(model, version)
        body, headers = await self._body(scope)
        shape, names = served.artifact.preprocess.shape, served.output_names
        length = headers.get(protocol.HEADER_LENGTH)
        size = protocol.json_bytes(body, length)
        inputs = await _aside(size, partial(protocol.parsed, body, length, shape, names))
        outputs = await served.infer(inputs.pixels, len(inputs.pixels))
        answer, head = protocol.reply(served.name, served.version, inputs, outputs)
        if head is None:
            return Response(answer, media_type=JSON)
        return Response(answer, 200, {protocol.HEADER_LENGTH: str(head)}, "application/octet-stream")

    async def classify(self, scope: Scope, model: str | None, top: int) -> Response:
        """Image files in, classes out. 400 where not one of them could be read."""
        begin = perf_counter()
        served = self.models.get(model)
        body, headers = await self._body(scope)
        files = await files_of(body, headers)
        predictions = await served.classify((files, top), len(files))
        document = {
            "model": served.name,
            "version": served.version,
            "milliseconds": round(1e3 * (perf_counter() - begin), 3),
            "images": [prediction.to_json() for prediction in predictions],
        }
        if any(prediction.error is None for prediction in predictions):
            return json_response(document)
        return json_response(document | {"error": predictions[0].error}, 400)

    async def preview(self, scope: Scope, model: str | None) -> Response:
        """What the model sees of one image file."""
        served = self.models.get(model)
        body, headers = await self._body(scope)
        (_, data), *_ = await files_of(body, headers)
        found = await served.preview(data, 1)
        if isinstance(found, Refusal):
            raise found
        return json_response(found.to_json())

    def model_metadata(self, model: str, version: str | None = None) -> Response:
        served = self.models.get(model, version)
        shape = served.artifact.preprocess.shape
        return json_response(protocol.metadata(served.name, served.version, shape, served.output_shapes))

    def model_ready(self, model: str, version: str | None = None) -> Response:
        served = self.models.get(model, version)
        ready = served.fault is None
        return json_response({"name": served.name, "ready": ready}, 200 if ready else 503)

    def live(self) -> Response:
        """503 where weights have changed in memory: a new process has them right."""
        return json_response({"live": self.models.sound}, 200 if self.models.sound else 503)

    def ready(self, draining: bool) -> Response:
        ready = self.models.sound and not draining
        return json_response({"ready": ready}, 200 if ready else 503)

    def server_metadata(self) -> Response:
        return json_response({"name": "bitwright", "version": __version__, "extensions": protocol.EXTENSIONS})

    def index(self) -> Response:
        """All models, as the protocol's model repository extension lists them."""
        return json_response([_entry(served) for served in self.models.all])

    def unchanged(self, model: str) -> Response:
        """Refusal: clients do not say what is served; whoever started the server does, and files that change are taken."""
        served = self.models.get(model)
        raise Refusal(
            403,
            f"{served.name} was named when the server was started, and no client loads or unloads it; a changed file is taken "
            "by itself",
        )

    async def _body(self, scope: Scope) -> tuple[bytes, Headers]:
        headers = Headers(scope=scope)
        body: bytes = scope["state"]["body"]
        if (encoding := headers.get("content-encoding")) is not None:
            body = await _aside(_SMALL + 1, partial(unpacked, body, encoding, self._settings.max_body))
        return body, headers


def _entry(served: ServedModel) -> dict[str, str]:
    return {
        "name": served.name,
        "version": served.version,
        "state": "READY" if served.fault is None else "UNAVAILABLE",
        "reason": served.fault or "",
    }


async def _aside(size: int, call: Callable[[], Result]) -> Result:
    """The result of a call that takes as long as `size` bytes need: in a thread where they are many."""
    if size <= _SMALL:
        return call()
    return await asyncio.get_running_loop().run_in_executor(None, call)
