"""Sets of images: where they come from, read lazily, one file per kind; `kinds.py` is the table of them."""

from bitwright.sources.batches import BadImage, Batch, Batches
from bitwright.sources.kinds import as_source, open_source
from bitwright.sources.source import ImageSource

__all__ = ["BadImage", "Batch", "Batches", "ImageSource", "as_source", "open_source"]
