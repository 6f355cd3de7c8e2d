"""`scripts/recompress.py`: a wheel that is smaller and has the same files."""

import zipfile
from pathlib import Path

import pytest

pytest.importorskip("zopfli")

from scripts import recompress


def facts(path: Path) -> list[tuple[object, ...]]:
    with zipfile.ZipFile(path) as wheel:
        assert wheel.testzip() is None
        return [(e.filename, e.date_time, e.external_attr, e.create_system, wheel.read(e)) for e in wheel.infolist()]


def test_smaller_with_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel, names = tmp_path / "a.whl", ("a/__init__.py", "a/größe.txt", "a/empty")
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as made:
        for name in names:
            entry = zipfile.ZipInfo(name, (2026, 11, 30, 23, 59, 58))
            entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
            made.writestr(entry, "" if name == "a/empty" else " ".join(str(i * i) for i in range(400)))
    before, size = facts(wheel), wheel.stat().st_size
    monkeypatch.setattr("sys.argv", ["recompress", str(wheel)])
    recompress.main()
    assert facts(wheel) == before
    assert wheel.stat().st_size < size
    once = wheel.read_bytes()
    recompress.main()
    assert wheel.read_bytes() == once
