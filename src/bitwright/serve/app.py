"""The table of routes, with what the OpenAPI document says of them, and the application that uvicorn runs.

    Door -> Shortcut -> FastAPI

The shortcut takes requests to infer, and to classify without options, past FastAPI's layers, which cost more than the rest of
a small model's request. The routes are declared to FastAPI all the same, for the document.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bitwright import __version__
from bitwright.serve import documents as d
from bitwright.serve.api import Api
from bitwright.serve.door import Door, State
from bitwright.serve.metrics import Metrics
from bitwright.serve.models import Models
from bitwright.serve.refusal import Refusal, json_response
from bitwright.serve.settings import MAX_TOP, Settings
from bitwright.serve.shedding import Shedding

PAGE = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css", "/icon.svg": "icon.svg"}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_SAYS = {400: "Refused", 401: "No token", 403: "Not allowed", 404: "No such model", 408: "Too slow", 413: "Too large"}
_SAYS |= {415: "Unknown Content-Encoding", 429: "Too busy: Retry-After says when", 500: "A fault of the server"}
_SAYS |= {503: "The model's weights have changed in memory"}
_CLASSIFY = "/classify"
TOP = 5
_INFER = "/v2/models/{model}/infer"
_INFER_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")

ModelName = Annotated[str | None, Query(description="Which model; not needed where there is one.")]
Top = Annotated[int, Query(ge=1, le=MAX_TOP, description="How many classes of each image.")]


def make_app(paths: Mapping[str, Path], settings: Settings, state: State) -> tuple[ASGIApp, Shedding]:
    """The application, and what refuses requests in front of it; ArtifactError where a model does not load or run."""
    metrics = Metrics()
    models = Models(paths, settings, metrics)
    api = Api(models, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(models.watch())
        yield
        watching.cancel()

    app = FastAPI(
        title="bitwright",
        version=__version__,
        description="Image classifiers by the Open Inference Protocol v2, and of image files.",
        lifespan=lifespan,
        docs_url=None,  # the pages that these would serve load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    _add_errors(app)
    _add_health(app, api, state)
    _add_models(app, api)
    _add_pictures(app, api)
    _add_rest(app, metrics)
    return Door(Shortcut(app, api), settings, metrics, state), Shedding(models, metrics)


class Shortcut:
    """What must be fast, past FastAPI."""

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app, self._api = app, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and (found := _INFER_PATH.fullmatch(scope["path"])):
            scope["state"]["route"] = _INFER
            response = await self._api.infer(scope, found[1], found[2])
            await response(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST" and _is_plain_classify(scope):
            scope["state"]["route"] = _CLASSIFY
            response = await self._api.classify(scope, None, TOP)
            await response(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "HEAD":
            await self._head(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What GET answers, without its body."""

        async def bodiless(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        inner = {**scope, "method": "GET"}
        await self._app(inner, receive, bodiless)
        scope["route"] = inner.get("route")


def _is_plain_classify(scope: Scope) -> bool:
    """Whether there is no option, which FastAPI reads."""
    return scope["path"] == _CLASSIFY and not scope["query_string"]


def _answers(*statuses: int, **also: Any) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides 200."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": d.Error, "description": _SAYS[status]} for status in (*statuses, 401, 500)
    }
    return found | {int(key.removeprefix("s")): value for key, value in also.items()}


def _add_errors(app: FastAPI) -> None:
    """Every error is `{"error": ...}`, as the protocol wants it."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        request.scope["state"]["reason"] = str(error)
        return error.response()

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return json_response({"error": f"{first['loc'][-1]}: {first['msg']}; found {first['input']!r:.100}"}, 400)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return json_response(
            {"error": f"{error.detail}: {request.method} {request.url.path[:200]}"}, error.status_code, error.headers
        )

    for kind, handler in ((Refusal, refused), (RequestValidationError, invalid), (HTTPException, http)):
        app.add_exception_handler(kind, handler)


def _add_health(app: FastAPI, api: Api, state: State) -> None:
    @app.get("/v2", responses=_answers(s200={"model": d.ServerMetadata}))
    async def server_metadata() -> Response:
        """What this server is."""
        return api.server_metadata()

    dead: dict[int | str, dict[str, Any]] = {503: {"model": d.Live, "description": _SAYS[503]}}

    @app.get("/v2/health/live", responses={200: {"model": d.Live}, **dead})
    async def live() -> Response:
        """Whether the server runs, and need not be started anew."""
        return api.live()

    about_to_end = f"The server is about to end, or: {_SAYS[503]}"
    unready: dict[int | str, dict[str, Any]] = {503: {"model": d.Ready, "description": about_to_end}}

    @app.get("/v2/health/ready", responses={200: {"model": d.Ready}, **unready})
    async def ready() -> Response:
        """Whether it takes requests: every model is loaded and has run."""
        return api.ready(state.draining)

    @app.post("/v2/repository/index", responses=_answers(408, 413, 429, s200={"model": list[d.IndexEntry]}))
    async def index() -> Response:
        """All models."""
        return api.index()

    for verb in ("load", "unload"):
        _add_refused(app, api, verb)


def _add_refused(app: FastAPI, api: Api, verb: str) -> None:
    """What the extension `model_repository` offers, and this server allows nobody."""
    path = f"/v2/repository/models/{{model}}/{verb}"

    @app.post(path, name=f"{verb}_model", responses=_answers(403, 404, 408, 413, 429), status_code=403)
    async def refused(model: str) -> Response:
        """Not allowed: the server serves what it was started with."""
        return api.unchanged(model)


def _add_models(app: FastAPI, api: Api) -> None:
    metadata = _answers(404, s200={"model": d.ModelMetadata})
    _add_of_versions(app, "model", "", api.model_metadata, metadata, "A model's inputs and outputs.")
    ready = _answers(404, s200={"model": d.ModelReady}, s503={"model": d.ModelReady, "description": _SAYS[503]})
    _add_of_versions(app, "model_ready", "/ready", api.model_ready, ready, "Whether a model takes requests.")

    binary = {"application/octet-stream": {"schema": d.FILE}}
    infers = _answers(400, 404, 408, 413, 415, 429, 503, s200={"model": d.InferResponse, "content": binary})
    reads = d.body(application_json=d.inlined(d.InferRequest), application_octet__stream=d.FILE)

    @app.post(_INFER, responses=infers, openapi_extra=reads)
    async def infer(model: str, request: Request) -> Response:
        """Outputs of images: JSON, or JSON with binary tensors behind it."""
        return await api.infer(request.scope, model)

    @app.post("/v2/models/{model}/versions/{version}/infer", responses=infers, openapi_extra=reads)
    async def infer_version(model: str, version: str, request: Request) -> Response:
        """Outputs of images, of one version."""
        return await api.infer(request.scope, model, version)


def _add_of_versions(
    app: FastAPI,
    name: str,
    path: str,
    answer: Callable[..., Response],
    responses: dict[int | str, dict[str, Any]],
    says: str,
) -> None:
    """What is asked of a model, and of one version of it."""

    @app.get(f"/v2/models/{{model}}{path}", name=name, description=says, responses=responses)
    async def latest(model: str) -> Response:
        return answer(model)

    of_version = f"/v2/models/{{model}}/versions/{{version}}{path}"

    @app.get(of_version, name=f"{name}_of_version", description=says, responses=responses)
    async def one(model: str, version: str) -> Response:
        return answer(model, version)


def _add_pictures(app: FastAPI, api: Api) -> None:
    form = {"type": "object", "properties": {"files": {"type": "array", "items": d.FILE}}}
    reads = d.body(
        application_json=d.inlined(d.Base64Images), multipart_form__data=form, application_octet__stream=d.FILE
    )
    refuses = (400, 404, 408, 413, 415, 429)
    unread = {"model": d.Classification | d.Error, "description": "Refused, or no image could be read"}

    @app.post(
        _CLASSIFY,
        responses=_answers(*refuses, 503, s200={"model": d.Classification}, s400=unread),
        openapi_extra=reads,
    )
    async def classify(request: Request, model: ModelName = None, top: Top = TOP) -> Response:
        """The classes of image files: one as the body, several in a form, or base64 in JSON."""
        return await api.classify(request.scope, model, top)

    @app.post("/preview", responses=_answers(*refuses, s200={"model": d.PreviewOfModel}), openapi_extra=reads)
    async def preview(request: Request, model: ModelName = None) -> Response:
        """What a model sees of an image file."""
        return await api.preview(request.scope, model)


def _add_rest(app: FastAPI, metrics: Metrics) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        return Response(metrics.text(), HTTPStatus.OK, media_type=CONTENT_TYPE_LATEST)

    folder = files("bitwright.serve") / "page"
    for path, name in PAGE.items():
        _add_file(app, path, (folder / name).read_bytes(), _TYPES[Path(name).suffix])


def _add_file(app: FastAPI, path: str, data: bytes, kind: str) -> None:
    @app.get(path, include_in_schema=False)
    async def page_file() -> Response:
        return Response(data, HTTPStatus.OK, PAGE_HEADERS, kind)
