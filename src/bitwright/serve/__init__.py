"""The server behind `bitwright serve`: artifacts over HTTP, by the Open Inference Protocol and as a web page. No torch.

connections   what a connection may cost, before there is a request
door          what every request passes: id, token, body within limits, log line, metrics
app           the table of routes (FastAPI) and the OpenAPI document
protocol      Open Inference Protocol v2: requests to pixels, outputs to replies
uploads       bodies of /classify to image files
lane          a bounded queue in front of an engine, and the batches that form in it
models        the artifacts that are served; each replaced by its new file once that has proved to work
running       sockets, signals, and an end that loses no request
"""

from bitwright.serve.running import serve
from bitwright.serve.settings import Settings

__all__ = ["Settings", "serve"]
