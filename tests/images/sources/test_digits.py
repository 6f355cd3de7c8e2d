import sys

import numpy as np
import pytest

from bitwright.errors import MissingExtraError
from bitwright.images.sources import open_source


def test_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    source = open_source("digits")
    assert len(source) == 1797
    assert source.classes == tuple("0123456789")
    assert source.labels is not None
    assert np.bincount(source.labels).min() > 170
    images = np.stack([np.asarray(source.read(i)) for i in range(len(source))])
    assert images.dtype == np.uint8
    assert (images.shape, images.min(), images.max()) == ((1797, 8, 8), 0, 255)
    np.testing.assert_array_equal(np.rint(images / 255 * 16), datasets.load_digits().images)
    assert len(open_source("digits[::3]")) == 599


def test_without_scikit_learn_there_is_an_install_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.datasets", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'bitwright\[digits\]'"):
        open_source("digits")
