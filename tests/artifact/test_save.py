"""Saving: a file is whole or what it was before; and files that cannot be read."""

import os
from typing import Any

import pytest

from bitwright.artifact import load
from bitwright.errors import ArtifactError
from tests.artifact.sample import ARTIFACT, same


def test_save_writes_the_bytes_and_load_reads_them(tmp_path):
    path = tmp_path / "model.safetensors"
    ARTIFACT.save(path)
    assert path.read_bytes() == ARTIFACT.data
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    same(load(path), ARTIFACT)
    same(load(str(path)), ARTIFACT)


def test_save_replaces_an_older_file(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    ARTIFACT.save(str(path))
    assert path.read_bytes() == ARTIFACT.data


def test_a_saved_file_has_the_usual_permissions(tmp_path):
    ARTIFACT.save(tmp_path / "model")
    (tmp_path / "other").write_bytes(b"")
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("function", ["replace", "fdopen", "fsync", "fchmod"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function):
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def fail(*arguments: Any, **keywords: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(ArtifactError, match="No space left on device"):
        ARTIFACT.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ARTIFACT.save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_saving_where_that_cannot_be_done_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="cannot write"):
        ARTIFACT.save(tmp_path / "no" / "folder" / "model")
    folder = tmp_path / "folder"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="cannot write"):
        ARTIFACT.save(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_missing_file_or_a_folder_is_an_error(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ArtifactError, match=str(path)):
            load(path)


def test_load_names_the_file_that_is_damaged(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(ARTIFACT.data[:-1])
    with pytest.raises(ArtifactError, match=str(path)):
        load(path)
