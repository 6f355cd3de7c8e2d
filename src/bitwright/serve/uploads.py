"""Image files out of a body: the file itself, a form with files (multipart), or JSON with base64. Never what a URL leads to.

A server that fetched what a client names would be a door into the network behind it.
"""

import base64
import binascii
import json
import zlib
from collections.abc import AsyncGenerator
from typing import NoReturn

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from bitwright.json_keys import each_key_once
from bitwright.serve.refusal import Refusal
from bitwright.serve.settings import MAX_FILES

File = tuple[str, bytes]
"""What a picture is called, and its bytes."""
_NAME = 200  # characters


async def files_of(body: bytes, headers: Headers) -> list[File]:
    """The files of a body, at least one.

    Raises:
        Refusal: 400, the body is not what its content type says, or holds no file; 413, it holds too many.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        files = await _of_form(body, headers)
    elif kind == "application/json":
        files = _of_json(body)
    else:
        files = [("image 0", body)] if body else []
    if not files:
        _refuse("expected an image file as the body, in a form (multipart/form-data), or base64 in JSON; found none")
    if len(files) > MAX_FILES:
        raise Refusal(413, f"expected at most {MAX_FILES} images in a request, found {len(files)}; send several")
    return files


async def _of_form(body: bytes, headers: Headers) -> list[File]:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(headers, whole(), max_files=MAX_FILES, max_fields=16)
    parser.spool_max_size = len(
        body
    )  # all of it is in memory already: nothing goes to a disk that may be full or read-only
    try:
        form = await parser.parse()
    except MultiPartException as error:
        _refuse(f"the form cannot be read: {error.message}")
    except (KeyError, LookupError, ValueError) as error:  # no boundary, or a character set that nobody knows
        _refuse(f"the form cannot be read: {error!s:.200}")
    try:
        parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        return [((part.filename or f"image {i}")[:_NAME], await part.read()) for i, part in enumerate(parts)]
    finally:
        await form.close()


def _of_json(body: bytes) -> list[File]:
    try:
        document = json.loads(body, object_pairs_hook=each_key_once)
    except (ValueError, RecursionError) as error:
        _refuse(f"the request is no JSON: {str(error)[:200]}")
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not images:
        _refuse('expected {"images": [BASE64, ...]}, image files in base64')
    return [(f"image {i}", _decoded(text, i)) for i, text in enumerate(images[: MAX_FILES + 1])]


def _decoded(text: object, i: int) -> bytes:
    if not isinstance(text, str):
        _refuse(f"expected image {i} to be base64, found {text!r:.100}")
    if "://" in text[:16]:
        _refuse(f"image {i} is a URL, and this server fetches nothing; send the file, in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        _refuse(f"image {i} is no base64: {error}")


def unpacked(body: bytes, encoding: str | None, limit: int) -> bytes:
    """The body as it was before its Content-Encoding, at most `limit` bytes.

    Raises:
        Refusal: 415, an encoding other than gzip and deflate; 413, too much comes out; 400, it is damaged.
    """
    if encoding is None or encoding.lower() == "identity":
        return body
    bits = {"gzip": 31, "deflate": 15}.get(encoding.lower())
    if bits is None:
        raise Refusal(415, f"expected a Content-Encoding of gzip or deflate, found {encoding!r:.100}")
    stream = zlib.decompressobj(bits)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error as error:
        _refuse(f"the body is no {encoding}: {error}")
    if len(data) > limit:
        raise Refusal(413, f"the body has more than {limit} bytes when it is unpacked")
    if not stream.eof or stream.unused_data:
        _refuse(f"the body is no {encoding}: it is cut off, or something follows it")
    return data


def _refuse(message: str) -> NoReturn:
    raise Refusal(400, message)
