from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.errors import SourceError, SourceWarning
from bitwright.images.sources import open_source


def manifest(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "set.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("L", (2, 2), 7).save(tmp_path / "images" / "a,b.png")
    text = 'label,note,path\n4,x,"images/a,b.png"\n2,,absent.png\n'
    source = open_source(manifest(tmp_path, text, "utf-8-sig"))
    assert (np.asarray(source.read(0)) == 7).all()
    assert source.name(1) == str(tmp_path / "absent.png")  # not looked for before it is read
    assert source.labels is not None
    assert source.labels.tolist() == [4, 2]
    assert source.classes is None


def test_names_become_classes(tmp_path: Path) -> None:
    source = open_source(manifest(tmp_path, "path,label\na.png, dog\nb.png,cat\nc.png,dog\n"))
    assert source.classes == ("cat", "dog")
    assert source.labels is not None
    assert source.labels.tolist() == [1, 0, 1]


def test_numbers_may_be_written_as_reals(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i}.0\n" for i in range(12))  # as text, 10.0 comes before 2.0
    source = open_source(manifest(tmp_path, "path,label\n" + rows))
    assert source.labels is not None
    assert (source.labels.tolist(), source.classes) == (list(range(12)), None)


@pytest.mark.parametrize("label", ["-1", "+0", "0.5", "1e3", "\u0663.0", "9" * 20])
def test_other_numbers_are_no_labels(tmp_path: Path, label: str) -> None:
    path = manifest(tmp_path, f"path,label\na.png,0\nb.png,{label}\n")
    with pytest.raises(SourceError, match="line 3: expected a label that is a number 0 and up, or a class name"):
        open_source(path)


def test_labels_may_be_left_out(tmp_path: Path) -> None:
    source = open_source(manifest(tmp_path, "path\na.png\n"))
    assert (len(source), source.labels, source.classes) == (1, None, None)


@pytest.mark.parametrize(
    "header",
    ["path,class", "Target,image_path", "FILENAME,Class Name", "img,wnid,x", "path,category,y", "class,path,label"],
)
def test_columns_may_have_other_usual_names(tmp_path: Path, header: str) -> None:
    cells = [
        "a.png" if "pa" in name or "im" in name or "FILE" in name else "7" if name in ("x", "y") else "cat"
        for name in header.split(",")
    ]
    source = open_source(manifest(tmp_path, f"{header}\n{','.join(cells)}\n"))
    assert source.name(0) == str(tmp_path / "a.png")
    assert source.classes == ("cat",)


def test_a_column_called_label_goes_before_others(tmp_path: Path) -> None:
    source = open_source(manifest(tmp_path, "class,path,label,file\ncat,a.png,3,b.png\n"))
    assert source.name(0) == str(tmp_path / "a.png")
    assert source.labels is not None
    assert source.labels.tolist() == [3]


def test_columns_none_of_which_is_the_labels_are_named(tmp_path: Path) -> None:
    with pytest.warns(SourceWarning, match=r"no column of labels \(label, .*is among path, Species, so"):
        source = open_source(manifest(tmp_path, "path,Species\na.png,cat\n"))
    assert source.labels is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns path and label, .* found none"),
        ("photo,label\na.png,1\n", "expected the columns path and label, .* found photo, label"),
        ("path;label\na.png;1\n", "found path;label; its columns are separated by semicolons: write commas"),
        ("path\tlabel\na.png\t1\n", "its columns are separated by tabs: write commas"),
        ("path,label\n", "expected at least one image"),
        ("path,label\na.png,1\nb.png,\n", "line 3: no label"),
        ("path,label\na.png,1\nb.png\n", "line 3: no label"),
        ("path,label\n ,\n", "line 2: no path and no label"),
        ("File Name,Class\n ,\n", "line 2: no File Name and no Class"),
        ("path,label\na.png,1\nb.png,cat\n", "found '1' in line 2 and 'cat' in line 3"),
        (
            "path,label\na.png,1\nb.png,-1\n",
            "line 3: expected a label that is a number 0 and up, or a class name; found '-1'",
        ),
        ('path,label\n"a.png,1\n', "cannot read it as CSV"),
    ],
)
def test_damaged_manifests_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(manifest(tmp_path, text))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="in UTF-8"):
        open_source(manifest(tmp_path, "path,label\nä.png,1\n", "latin-1"))


def test_the_real_manifests(data_dir: Path) -> None:
    source = open_source(data_dir / "imagenet-samples" / "sample1000.csv")
    assert source.labels is not None
    assert sorted(source.labels.tolist()) == list(range(1000))
    (measured, calibration) = (
        open_source(data_dir / "imagenet-samples" / f"sample1000.csv[{s}::5]") for s in ("!", "")
    )
    names = {part.name(i) for part in (measured, calibration) for i in range(len(part))}
    assert (len(measured), len(calibration), len(names)) == (800, 200, 1000)
    image = measured.read(799)
    assert isinstance(image, Image.Image)
    assert image.size == (256, 256)


def test_columns_are_found_whatever_their_capitals(tmp_path: Path) -> None:
    source = open_source(manifest(tmp_path, "Path, Label \na.png,dog\nb.png,cat\n"))
    assert source.labels is not None
    assert source.labels.tolist() == [1, 0]
