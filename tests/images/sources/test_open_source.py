from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright.errors import SourceError, SourceWarning
from bitwright.images.sources import ImageSource, as_source, open_source
from bitwright.images.sources.kinds import KINDS

pytestmark = pytest.mark.filterwarnings("default::bitwright.errors.SourceWarning")  # each image is a class of its own


@pytest.fixture
def ten(tmp_path: Path) -> str:
    """A file of ten grey pictures, each of one level, its label."""
    path = tmp_path / "ten.npz"
    labels = np.arange(10)
    np.savez(path, images=np.broadcast_to(labels.astype(np.uint8)[:, None, None], (10, 4, 4)), labels=labels)
    return str(path)


def labels(source: ImageSource) -> list[int]:
    assert source.labels is not None
    levels = [int(np.asarray(source.read(i)).flat[0]) for i in range(len(source))]
    assert levels == source.labels.tolist()
    return levels


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("[::5]", [0, 5]),
        ("[!::5]", [1, 2, 3, 4, 6, 7, 8, 9]),
        ("[:3]", [0, 1, 2]),
        ("[-2:]", [8, 9]),
        ("[!2:-2]", [0, 1, 8, 9]),
        ("[::-4]", [9, 5, 1]),
        ("[5:1000]", [5, 6, 7, 8, 9]),
        ("[!::5][:3]", [1, 2, 3]),
        ("[1::2][!:2][::-1]", [9, 7, 5]),
    ],
)
def test_slices(ten: str, suffix: str, expected: list[int]) -> None:
    assert labels(open_source(ten + suffix)) == expected
    assert labels(open_source(Path(ten + suffix))) == expected


@pytest.mark.parametrize("suffix", ["[3]", "[]", "[a:b]", "[::0]", "[1:2:3:4]", "[!]", "[::5][x]", "[!!::5]"])
def test_what_is_no_slice_is_refused(ten: str, suffix: str) -> None:
    with pytest.raises(SourceError, match="expected a slice such as"):
        open_source(ten + suffix)


@pytest.mark.parametrize("suffix", ["[10:]", "[!:]", "[:5][5:]"])
def test_a_slice_that_selects_nothing_is_refused(ten: str, suffix: str) -> None:
    with pytest.raises(SourceError, match="selects none of"):
        open_source(ten + suffix)


def test_a_slice_is_part_of_what_the_source_is_called(ten: str) -> None:
    assert open_source(f"{ten}[::2][:3]").where == f"{ten}[::2][:3]"
    assert open_source(ten).where == ten


def test_a_path_that_ends_in_brackets_is_a_path(ten: str) -> None:
    odd = Path(ten).with_name("odd[::5].npz")
    Path(ten).rename(odd)
    assert len(open_source(odd)) == 10
    assert labels(open_source(f"{odd}[::5]")) == [0, 5]


def test_what_is_not_there_is_refused_with_the_choices(tmp_path: Path) -> None:
    for absent in (tmp_path / "absent.csv", "x" * 5000, "a\0b", ""):
        with pytest.raises(SourceError, match="no such file or folder; expected one of") as error:
            open_source(absent)
        assert all(kind.looks_like in str(error.value) for kind in KINDS.values())
    with pytest.raises(SourceError, match=r"absent\.csv: no such file"):
        open_source(tmp_path / "absent.csv[::5]")
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    with pytest.raises(SourceError, match=r"notes\.txt: a file of no known kind; expected one of"):
        open_source(other)


@pytest.mark.parametrize("spec", [None, 3, ["a.png"]])
def test_what_is_no_path_is_refused(spec: Any) -> None:
    with pytest.raises(SourceError, match="expected the path of images"):
        open_source(spec)


@pytest.mark.parametrize("spec", ["a\0b", "\ud800", "a\x1bm"])
def test_a_name_that_cannot_be_printed_is_quoted(spec: str) -> None:
    with pytest.raises(SourceError, match="no such file") as raised:
        open_source(spec)
    assert str(raised.value).splitlines()[0].isprintable()


def test_a_slice_that_leaves_out_classes_by_their_order_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "sorted.npz"
    np.savez(path, images=np.zeros((20, 4, 4), np.uint8), labels=np.repeat(np.arange(4), 5))
    with pytest.warns(SourceWarning, match=r"sorted.npz: .*sorted by class, and \[:10\] are of 2 of the 4 classes"):
        assert len(open_source(f"{path}[:10]")) == 10
    assert len(open_source(f"{path}[::2]")) == 10


@pytest.mark.parametrize("given", [None, 5, [1], np.zeros((2, 4, 4), np.uint8), b"ten.npz"])
def test_what_is_no_source_is_refused(given) -> None:
    with pytest.raises(SourceError, match=r"expected images as bitwright\.open_source"):
        as_source(given)


def test_a_source_may_be_a_path(ten: str) -> None:
    assert labels(as_source(Path(ten))) == labels(as_source(open_source(ten))) == list(range(10))
