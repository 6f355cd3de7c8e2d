"""Images and answers in stores that speak S3 and Google's: servers on this machine, which keep nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
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

pytest.importorskip("ray", reason="needs ray: pip install 'bitwright[ray]'")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")
pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of Ray
IMAGES = 40


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    needs = "needs a server of S3: pip install 'bitwright[s3-tests]'"
    pytest.importorskip("s3fs", reason=needs)
    running = pytest.importorskip("moto.server", reason=needs).ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    yield {"AWS_ENDPOINT_URL": f"http://{host}:{port}", **keys}
    running.stop()


@contextmanager
def gs() -> Iterator[dict[str, str]]:
    needs = "needs a server of Google's storage: pip install 'bitwright[gs-tests]'"
    pytest.importorskip("gcsfs", reason=needs)
    server = pytest.importorskip("gcp_storage_emulator.server", reason=needs)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    running = server.create_server("127.0.0.1", port, in_memory=True)
    running.start()
    # The second is read when gcsfs is imported. With it, gcsfs would ask by gRPC what kind of bucket it is.
    yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    running.stop()


@pytest.fixture(scope="module", params=[s3, gs], ids=lambda store: store.__name__)
def bucket(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A bucket with digits in class folders, one of them damaged, and a manifest of them; its file system, and its URI."""
    import fsspec

    scheme = request.param.__name__
    with request.param() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        system = fsspec.filesystem(scheme, skip_instance_cache=True)
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
            yield system, f"{scheme}://bucket"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.test_ranks import PREPROCESS, network

    path = tmp_path_factory.mktemp("model") / "m"
    bw.quantize(network(), bw.open_source("digits[:100]"), preprocess=PREPROCESS, classes=list("0123456789")).save(path)
    return path


def test_images_and_answers_are_in_the_store(bucket: Any, model: Path) -> None:
    bucket, uri = bucket
    command = ["classify", str(model), f"{uri}/photos", "--ray", "-o", f"{uri}/answers", "--part", "8"]
    assert main(command) == 1  # for one image is damaged
    parts = sorted(path for path in bucket.ls("bucket/answers", detail=False) if path.endswith(".parquet"))
    assert len(parts) == IMAGES // 8
    rows = [row for path in parts for row in parquet.read_table(bucket.open(path)).to_pylist()]
    expected = bw.Classifier(model, threads=1)(open_anywhere(f"{uri}/photos"))
    assert [row["image"] for row in rows] == [found.image for found in expected]
    assert [row["error"] for row in rows] == [found.error for found in expected]
    assert [row["names"] for row in rows] == [[guess.name for guess in found.top] for found in expected]
    assert sum(row["error"] is not None for row in rows) == 1
    bucket.rm(parts[2])
    before = {path: bucket.modified(path) for path in parts if path != parts[2]}
    assert main(command) == 1  # for one image is damaged
    bucket.invalidate_cache()
    assert {path: bucket.modified(path) for path in before} == before
    assert bucket.exists(parts[2])


def test_folders_and_manifests_of_a_store(bucket: Any) -> None:
    _, uri = bucket
    folders, manifest = open_anywhere(f"{uri}/photos"), open_anywhere(f"{uri}/list.csv")
    assert len(folders) == len(manifest) == IMAGES
    assert folders.labels is not None
    assert manifest.labels is not None
    found = [
        {source.name(i): label for i, label in enumerate(labels)}
        for source, labels in ((folders, folders.labels), (manifest, manifest.labels))
    ]
    assert found[0] == found[1]
    with pytest.raises(SourceError, match="found none"):
        open_anywhere(f"{uri}/nothing")
    with pytest.raises(SourceError, match="cannot read it"):
        open_anywhere(f"{uri}/nothing.csv")
