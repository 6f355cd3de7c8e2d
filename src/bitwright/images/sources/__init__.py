"""Sets of images: where they come from, read lazily, one file per kind; `kinds.py` is the table of them."""

from bitwright.images.sources.batches import BadImage, Batch, Batches
from bitwright.images.sources.kinds import Kind, as_source, open_source
from bitwright.images.sources.readers import Reader
from bitwright.images.sources.source import ImageSource

__all__ = ["BadImage", "Batch", "Batches", "ImageSource", "Kind", "Reader", "as_source", "open_source"]
