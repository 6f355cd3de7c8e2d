"""A report of a small model whose classes and images have hostile names, measured once."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from bitwright.artifact import Artifact
from bitwright.audit.records import Audit
from bitwright.gates import Gates
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.models.float_models import TorchModel
from bitwright.quantization import quantize
from bitwright.report import Report
from bitwright.report.build import build
from bitwright.report.pareto_front import read_pareto_front
from tests.cli.conftest import FACTORY
from tests.report.files import audit_file, front_file

NAMES = (
    "<script>alert('a')</script>",
    '</script><img src="x" onerror="alert(1)">',
    'it\'s "quoted" & {{ 7 * 7 }} ${9}',
)
"""The names of the three classes; images are called by them, too."""


@dataclass(frozen=True)
class Named:
    """Images in memory with such names."""

    images: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def read(self, i: int) -> np.ndarray:
        return self.images[i]

    def name(self, i: int) -> str:
        return f"{i} {NAMES[i % 3]}.png"


@pytest.fixture(scope="session")
def net() -> TorchModel:
    """A float model that tells which colour an image has most of."""
    space: dict = {}
    exec(FACTORY, space)
    return TorchModel(space["net"]().eval())


@pytest.fixture(scope="session")
def artifact(net: TorchModel) -> Artifact:
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    return quantize(net.module, images, preprocess=Preprocess(size=8)).with_classes(list(NAMES))


@pytest.fixture(scope="session")
def source() -> ImageSource:
    """Noise: the two models differ on some of it. The labels are right for the most part."""
    rng = np.random.default_rng(1)
    images = rng.integers(100, 140, (400, 8, 8, 3), np.uint8)
    labels = 2 - images.mean((1, 2)).argmax(1)
    labels[::9] = (labels[::9] + 1) % 3
    return ImageSource(Named(images), "<b>noise</b>", labels.astype(np.int64), NAMES)


@pytest.fixture(scope="session")
def audit(artifact: Artifact, tmp_path_factory) -> Audit:
    return Audit.read(audit_file(tmp_path_factory.mktemp("audit"), artifact))


@pytest.fixture(scope="session")
def report(artifact: Artifact, net: TorchModel, source: ImageSource, audit: Audit, tmp_path_factory) -> Report:
    """With everything that a report can have but peers; one gate fails."""
    found = build(
        artifact,
        net,
        source,
        path='models/<i>"m"</i>.bw.safetensors',
        model_name="colours:<net>",
        preprocess="RGB, <8x8>",
        gates=Gates.parse(
            "max_drop = 50\nmin_agreement = 100\nmax_bytes = 100_000\nmax_latency_ratio = 50", "<gates>.toml"
        ),
        baseline=("old<br>.bw.safetensors", artifact),
        audit=audit,
        pareto_front=read_pareto_front(front_file(tmp_path_factory.mktemp("front"), artifact)),
        threads=1,
        command="bitwright report '<script>'",
    )
    return replace(found, remarks=("a <remark>",), left_out=(("</dl>.png", "<no> picture"),))
