"""A job over many images: cut into parts, each a Parquet file that is written at once and means that its images are done.

What has a file is done, and nothing else is: whoever dies, worker or driver, loses the parts at hand, which are done again and
give the same bytes. `job.json` says whose parts they are, so that no other job's are taken for them.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitwright.errors import MissingExtraError, SourceError
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import FileReader, SubsetReader
from bitwright.records import Prediction
from bitwright.scale import remote

KEY = b"bitwright"
JOB = "job.json"


@dataclass(frozen=True)
class Answers:
    """The folder that a job's parts are in, at a path or URI."""

    folder: str

    def begin(self, job: dict[str, Any]) -> set[int]:
        """The parts that are done already. SourceError where another job's are there."""
        found = remote.read(self.folder, JOB)
        if found is None:
            if any(name.endswith(".parquet") for name in remote.names(self.folder)):
                raise SourceError(f"{self.folder}: there are Parquet files in it, and no {JOB}; choose another folder")
            remote.write(self.folder, JOB, json.dumps(job, indent=2).encode())
            return set()
        if (known := json.loads(found)) != job:
            other = sorted(key for key in {*job, *known} if job.get(key) != known.get(key))
            raise SourceError(
                f"{self.folder}: it holds the answers of another job ({', '.join(other)} differ); choose another folder"
            )
        return {int(name[5:-8]) for name in remote.names(self.folder) if name.endswith(".parquet")}

    def has(self, part: int) -> bool:
        """Whether a part is done."""
        return remote.exists(self.folder, self._name(part))

    def write(self, part: int, predictions: list[Prediction], labels: Any, figures: dict[str, Any]) -> None:
        """Write a part: a row for each image, and figures in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "image": pa.array([p.image for p in predictions], pa.string()),
            "label": pa.array([None] * len(predictions) if labels is None else list(labels), pa.int64()),
            "classes": pa.array([[g.index for g in p.top] for p in predictions], pa.list_(pa.int32())),
            "names": pa.array([[g.name for g in p.top] for p in predictions], pa.list_(pa.string())),
            "probabilities": pa.array([[g.probability for g in p.top] for p in predictions], pa.list_(pa.float32())),
            "error": pa.array([p.error for p in predictions], pa.string()),
        }
        table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(figures).encode()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        remote.write(self.folder, self._name(part), buffer.getvalue())

    def figures(self, part: int) -> dict[str, Any]:
        """What a part's metadata has. SourceError where it is no part of ours."""
        import pyarrow.parquet as pq

        data = remote.read(self.folder, self._name(part)) or b""
        try:
            found: dict[str, Any] = json.loads(pq.read_metadata(io.BytesIO(data)).metadata[KEY])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise SourceError(f"{self.folder}/{self._name(part)}: it is damaged; remove it and start again") from error
        return found

    def errors(self, part: int) -> list[tuple[str, str]]:
        """The images of a part that could not be read, and why."""
        import pyarrow.parquet as pq

        data = remote.read(self.folder, self._name(part)) or b""
        rows = pq.read_table(io.BytesIO(data), columns=["image", "error"]).to_pylist()
        return [(row["image"], row["error"].removeprefix(f"{row['image']}: ")) for row in rows if row["error"]]

    @staticmethod
    def _name(part: int) -> str:
        return f"part-{part:07}.parquet"


def expect_parquet() -> None:
    """Raise MissingExtraError where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("pyarrow", "ray") from error


def of_files(source: ImageSource) -> bool:
    """Whether its images are files, each known by its path or URI."""
    reader: Any = source.reader
    while isinstance(reader, SubsetReader):
        reader = reader._reader
    return isinstance(reader, FileReader | remote.RemoteReader)


def digest(source: ImageSource) -> str:
    """SHA-256, in hex, of the images' names and labels."""
    found = hashlib.sha256()
    for i in range(len(source)):
        found.update(source.name(i).encode(errors="surrogateescape") + b"\0")
    found.update(b"" if source.labels is None else np.ascontiguousarray(source.labels).tobytes())
    return found.hexdigest()
