"""The JSON that requests and answers are made of, for the OpenAPI document. What is in them is checked where it is read."""

from typing import Any

from pydantic import BaseModel, Field

Data = list[Any]


class Error(BaseModel):
    """Why a request was refused."""

    error: str


class Live(BaseModel):
    live: bool


class Ready(BaseModel):
    ready: bool


class ModelReady(BaseModel):
    name: str
    ready: bool


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int] = Field(description="-1 is the number of images.")


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexEntry(BaseModel):
    name: str
    version: str
    state: str
    reason: str


class InferInput(BaseModel):
    name: str = Field(examples=["input"])
    datatype: str = Field(examples=["UINT8"])
    shape: list[int] = Field(examples=[[1, 32, 32, 3]], description="[N, H, W, C]")
    parameters: dict[str, Any] | None = None
    data: Data | None = Field(None, description="Pixels 0..255, flat or nested.")


class InferWanted(BaseModel):
    name: str = Field(examples=["logits"])
    parameters: dict[str, Any] | None = None


class InferRequest(BaseModel):
    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[InferInput] = Field(min_length=1, max_length=1)
    outputs: list[InferWanted] | None = None


class InferOutput(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: Data | None = None


class InferResponse(BaseModel):
    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutput]


class Base64Images(BaseModel):
    images: list[str] = Field(min_length=1, description="Image files in base64; never URLs.")


class Guess(BaseModel):
    index: int
    name: str
    percent: float


class Classified(BaseModel):
    path: str
    error: str | None
    top: list[Guess]


class Classification(BaseModel):
    """`error` is there where no image could be read; each image has its own."""

    model: str
    version: str
    milliseconds: float = Field(description="From the body's last byte to the classes, on the server.")
    images: list[Classified]
    error: str | None = None


class PreviewOfModel(BaseModel):
    """PNG files in base64."""

    pixels: str
    bits: str | None = Field(description="What the bits of the pixels stand for; null where the model reads pixels.")
    encoder: str | None


FILE = {"type": "string", "format": "binary"}


def body(**content: Any) -> dict[str, Any]:
    """A request body for `openapi_extra`, by content type, where `_` stands for `/` and `__` for `-`."""
    names = {name.replace("__", "-").replace("_", "/", 1): schema for name, schema in content.items()}
    return {"requestBody": {"required": True, "content": {name: {"schema": s} for name, s in names.items()}}}


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema with everything that it refers to inside it, as a request body that FastAPI does not read needs it."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolved(parts[node["$ref"].rpartition("/")[2]])
            return {key: resolved(value) for key, value in node.items()}
        return [resolved(value) for value in node] if isinstance(node, list) else node

    return dict(resolved(schema))
