"""`Cache`: what is kept comes back under its key alone; what is damaged does not."""

from pathlib import Path

import pytest

from bitwright.budget import cache as module
from bitwright.budget.cache import Cache, default_folder


def test_a_record_comes_back_under_its_key_alone(tmp_path: Path):
    cache = Cache(tmp_path / "new" / "folder")
    cache.put({"loss": 0.25}, model="a", unit=("conv", 4))
    assert cache.get(unit=["conv", 4], model="a") == {"loss": 0.25}
    assert cache.get(model="b", unit=("conv", 4)) is None
    assert Cache(tmp_path / "other").get(model="a", unit=("conv", 4)) is None


def test_files_come_back_to_the_byte(tmp_path: Path):
    cache = Cache(tmp_path)
    cache.put_bytes(b"\x00\xff", ".bin", key=1)
    assert cache.get_bytes(".bin", key=1) == b"\x00\xff"
    assert cache.get_bytes(".other", key=1) is None


def test_without_a_folder_nothing_is_kept():
    cache = Cache(None)
    cache.put(1, key=1)
    assert cache.get(key=1) is None


def test_a_damaged_record_counts_as_none(tmp_path: Path):
    cache = Cache(tmp_path)
    cache.put(1, key=1)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    path.write_bytes(b'{"half')
    assert cache.get(key=1) is None
    cache.put(2, key=1)
    assert cache.get(key=1) == 2


def test_other_code_measures_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = Cache(tmp_path)
    cache.put(1, key=1)
    monkeypatch.setattr(module, "code_digest", lambda: "another version")
    assert cache.get(key=1) is None


def test_the_folder_is_the_users_cache_or_the_given_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BITWRIGHT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/bitwright")
    monkeypatch.setenv("BITWRIGHT_CACHE", "/else")
    assert default_folder() == Path("/else")
