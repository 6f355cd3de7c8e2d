"""Images and answers in a store that speaks S3: a server on this machine, which keeps nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bitwright as bw
from bitwright.cli import main
from bitwright.errors import SourceError
from bitwright.scale.cluster import cluster
from bitwright.scale.remote import open_anywhere

NEEDS = "needs a server of S3: pip install 'bitwright[s3-tests]'"
pytest.importorskip("ray", reason="needs ray: pip install 'bitwright[ray]'")
pytest.importorskip("s3fs", reason=NEEDS)
server = pytest.importorskip("moto.server", reason=NEEDS)
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")
pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of Ray
IMAGES = 40


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """A bucket with digits in class folders, one of them damaged, and a manifest of them; its file system."""
    import fsspec

    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    said = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**said, "AWS_DEFAULT_REGION": "us-east-1"}.items():
            patch.setenv(name, value)
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir("bucket")
        digits, lines = bw.open_source(f"digits[:{IMAGES}]"), ["path,label"]
        assert digits.labels is not None
        for i, label in enumerate(digits.labels):
            path = f"photos/{label}/{i:02}.png"
            with system.open(f"bucket/{path}", "wb") as file:
                if i == 7:
                    file.write(b"nothing")
                else:
                    Image.fromarray(np.asarray(digits.read(i)).reshape(8, 8)).save(file, "PNG")
            lines.append(f"{path},{label}")
        system.pipe_file("bucket/list.csv", "\n".join(lines).encode())
        with cluster():  # whose workers know the server, too
            yield system
    running.stop()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.test_ranks import PREPROCESS, network

    path = tmp_path_factory.mktemp("model") / "m"
    bw.quantize(network(), bw.open_source("digits[:100]"), preprocess=PREPROCESS, classes=list("0123456789")).save(path)
    return path


def test_images_and_answers_are_in_the_store(bucket: Any, model: Path) -> None:
    command = ["classify", str(model), "s3://bucket/photos", "--ray", "-o", "s3://bucket/answers", "--part", "8"]
    assert main(command) == 1  # for one image is damaged
    parts = sorted(path for path in bucket.ls("bucket/answers", detail=False) if path.endswith(".parquet"))
    assert len(parts) == IMAGES // 8
    rows = [row for path in parts for row in parquet.read_table(bucket.open(path)).to_pylist()]
    expected = bw.Classifier(model, threads=1)(open_anywhere("s3://bucket/photos"))
    assert [row["image"] for row in rows] == [found.image for found in expected]
    assert [row["error"] for row in rows] == [found.error for found in expected]
    assert [row["names"] for row in rows] == [[guess.name for guess in found.top] for found in expected]
    assert sum(row["error"] is not None for row in rows) == 1
    bucket.rm(parts[2])
    before = {path: bucket.info(path)["LastModified"] for path in parts if path != parts[2]}
    assert main(command) == 1  # for one image is damaged
    bucket.invalidate_cache()
    assert {path: bucket.info(path)["LastModified"] for path in before} == before
    assert bucket.exists(parts[2])


def test_folders_and_manifests_of_a_store(bucket: Any) -> None:
    folders, manifest = open_anywhere("s3://bucket/photos"), open_anywhere("s3://bucket/list.csv")
    assert len(folders) == len(manifest) == IMAGES
    assert folders.labels is not None
    assert manifest.labels is not None
    found = [
        {source.name(i): label for i, label in enumerate(labels)}
        for source, labels in ((folders, folders.labels), (manifest, manifest.labels))
    ]
    assert found[0] == found[1]
    with pytest.raises(SourceError, match="found none"):
        open_anywhere("s3://bucket/nothing")
    with pytest.raises(SourceError, match="cannot read it"):
        open_anywhere("s3://bucket/nothing.csv")
