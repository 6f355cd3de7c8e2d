"""Class names: which class a name means, the forms of files, and names that come anew."""

import json
from pathlib import Path

import pytest

from bitwright.class_files import class_names, read_classes
from bitwright.classes import ClassNames, named_anew
from bitwright.errors import LabelError, LabelWarning

IMAGENET = ClassNames(
    ("tench, Tinca tinca", "great_white_shark", "crane", "crane", "Cardigan", "cardigan", "Zoë"),
    tuple((f"n0000000{i}",) for i in range(7)),
    "index.json",
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tench, Tinca tinca", 0),
        ("tench", 0),
        ("tinca-Tinca", 0),
        ("Great White  Shark", 1),
        ("n00000003", 3),
        ("N00000003", 3),
        ("Cardigan", 4),
        ("cardigan", 5),
        ("Zoe\u0308", 6),
        ("shark", None),
        ("", None),
    ],
)
def test_a_name_means_a_class(name: str, found: int | None) -> None:
    assert IMAGENET.find(name) == found


@pytest.mark.parametrize(("name", "message"), [("crane", "classes 2 and 3 of index.json"), ("CARDIGAN", "4 and 5")])
def test_a_name_of_two_classes_means_none(name: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        IMAGENET.find(name)


def test_near_names_are_found() -> None:
    assert IMAGENET.near("grate_white_shark") == ["great_white_shark"]
    assert IMAGENET.near("teapot") == []


FORMS = {
    "lines.txt": "tench\ngold fish\n",
    "windows.txt": "\ufefftench\r\ngold fish\r\n\r\n",
    "numbered.txt": "0: tench\n1: gold fish\n",
    "wnids.txt": "n01440764 tench\nn01443537 gold fish\n",
    "python.txt": "{0: 'tench',\n 1: 'gold fish'}",
    "list.json": '["tench", "gold fish"]',
    "index.json": '{"1": ["n01443537", "gold fish"], "0": ["n01440764", "tench"]}',
    "names.json": '{"0": "tench", "1": "gold fish"}',
    "idx.json": '{"gold fish": 1, "tench": 0}',
    "config.json": '{"hidden": 3, "id2label": {"0": "tench", "1": "gold fish"}}',
    "plain.csv": "tench\ngold fish\n",
    "numbers.csv": "1,gold fish\n0,tench\n",
    "header.csv": "name,index,wnid\ntench,0,n01440764\ngold fish,1,n01443537\n",
    "another order.txt": "1 gold fish\n0 tench\n",
    "behind.txt": "tench 0\ngold fish 1\n",
    "behind, another order.txt": "gold fish = 1\ntench = 0\n",
    "no header, another order.csv": "gold fish,1\ntench,0\n",
    "an unusual header.csv": "idx,name\n1,gold fish\n0,tench\n",
    "counts are no order.csv": "name,images\ntench,1300\ngold fish,900\n",
    "manifest.csv": "path,label,wnid,class_name\nx,1,n01443537,gold fish\ny,0,n01440764,tench\nz,1,n01443537,gold fish\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[name].encode())
    found = read_classes(path)
    assert found.names == ("tench", "gold fish")
    assert found.where == str(path)
    if "n01440764" in FORMS[name]:
        assert (found.find("n01440764"), found.find("n01443537")) == (0, 1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gap.txt", "a\n\nb\n", "line 2: expected a class name"),
        ("empty.txt", "", "expected a name for each class"),
        ("gap.json", '{"0": "a", "2": "b"}', "from 0 to 2, found none for 1"),
        ("odd.json", '{"a": "b"}', "expected the number of a class"),
        ("deep.json", "[" * 100_000, "cannot read it as JSON"),
        ("number.json", "3", "expected a list of names"),
        ("numbers.json", "[1, 2]", "expected a class name"),
        ("two.csv", "label,name\n0,a\n0,b\n", "'a' and 'b'"),
        ("none.csv", "path,label\nx,0\n", "expected a column of class names"),
        ("nothing.csv", "", "expected a column of class names"),
        ("from one.csv", "n,name\n2,b\n1,a\n", "found none for 0"),
        ("from one.txt", "2 b\n1 a\n", "found none for 0"),
    ],
)
def test_files_that_make_no_sense(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(LabelError, match=message):
        read_classes(tmp_path / name)


def test_names_may_hold_numbers(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("grade 1\ngrade 0\ngrade 2\n")
    assert read_classes(tmp_path / "names.txt").names == ("grade 1", "grade 0", "grade 2")


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="cannot read it"):
        class_names(tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelError, match="cannot read it"):
        class_names(tmp_path / "bytes.txt")


def test_the_index_of_imagenet(data_dir: Path) -> None:
    path = data_dir / "imagenet-samples" / "imagenet_class_index.json"
    index = json.loads(path.read_text())
    found = read_classes(path)
    assert [found.find(wnid) for wnid, _ in index.values()] == list(range(1000))
    assert found.find("Great White Shark") == 2
    assert read_classes(data_dir / "imagenet-samples" / "sample1000.csv").names == found.names


OWN = ClassNames(("cat", "dog", "owl"))


def test_a_model_without_names_takes_them_in_order() -> None:
    assert named_anew(None, class_names(["a", "b"]), 2).names == ("a", "b")
    with pytest.raises(LabelError, match="each of the model's 3 classes, found 2"):
        named_anew(None, class_names(["a", "b"]), 3)


def test_a_file_in_the_order_of_the_model_renames_it() -> None:
    found = named_anew(OWN, class_names(["Felis", "dog", "Strix"]), 3)
    assert found.names == ("Felis", "dog", "Strix")
    assert [found.find(name) for name in ("cat", "Felis", "owl")] == [0, 0, 2]


def test_a_file_in_another_order_is_matched_by_name() -> None:
    index = ClassNames(("owl", "cat", "dog", "emu"), (("n3",), ("n1",), ("n2",), ("n4",)), "index.json")
    for given in (index, ClassNames(index.names[:3], index.others[:3], "index.json")):
        found = named_anew(OWN, given, 3)
        assert found.names == OWN.names
        assert [found.find(name) for name in ("n1", "n2", "n3", "n4")] == [0, 1, 2, None]


def test_own_names_in_another_order_exchange_nothing_and_say_so() -> None:
    with pytest.warns(LabelWarning, match="own class names in another order; each class keeps its name"):
        assert named_anew(OWN, class_names(["owl", "cat", "dog"]), 3).names == OWN.names
    with pytest.warns(LabelWarning):
        assert named_anew(OWN, class_names(["owl", "cat", "dog", "emu"]), 3).names == OWN.names
    assert named_anew(OWN, class_names(list(OWN.names)), 3).names == OWN.names


def test_names_that_are_neither_the_models_own_nor_new_ones_are_refused() -> None:
    with pytest.raises(LabelError, match=r"found 2 \(owl, cat\); it has none for dog"):
        named_anew(OWN, class_names(["owl", "cat"]), 3)
    with pytest.raises(
        LabelError, match="'dog' is class 0 here and class 1 of the model, whose owl this does not name"
    ):
        named_anew(OWN, class_names(["dog", "cat", "emu"]), 3)


def test_a_file_of_another_count_that_knows_no_name() -> None:
    with pytest.raises(LabelError, match="found 2"):
        named_anew(OWN, class_names(["a", "b"]), 3)


@pytest.mark.parametrize("given", [["b", "a"], {0: "b", 1: "a"}, {"a": 1, "b": 0}, {"id2label": {"1": "a", "0": "b"}}])
def test_names_have_an_order(given) -> None:
    assert class_names(given).names == ("b", "a")


@pytest.mark.parametrize(
    "given",
    [{"a", "b"}, frozenset("ab"), b"names.txt", 10, 1.5, [], [None], {}, {0: "a", 2: "b"}, ["a", ""], ["\ud800"]],
)
def test_names_that_are_none(given) -> None:
    with pytest.raises(LabelError, match="classes: "):
        class_names(given)


def test_a_name_of_two_classes_is_passed_over_for_the_next_one() -> None:
    """ImageNet has two cranes: their own names say nothing, their wnids tell which is which."""
    own = ClassNames(("crane", "dog", "crane"), (("n1",), ("n2",), ("n3",)))
    given = ClassNames(("dog", "crane", "crane"), (("n2", "hound"), ("n3", "machine"), ("n1", "bird")))
    found = named_anew(own, given, 3)
    assert [found.find(name) for name in ("bird", "hound", "machine")] == [0, 1, 2]


def test_a_file_with_one_name_for_two_classes_is_in_the_order_that_nearly_all_say() -> None:
    """The index that Keras' files have calls both cranes crane; torchvision has a crane and a crane bird."""
    names = [f"class {i}" for i in range(40)]
    own = ClassNames(("crane bird", *names, "crane"))
    given = ClassNames(("crane", *names, "crane"), tuple((f"n{i}",) for i in range(42)))
    found = named_anew(own, given, 42)
    assert [found.find(name) for name in ("n0", "n41", "crane bird", "class 7")] == [0, 41, 0, 8]
    with pytest.raises(LabelError, match="neither the model's classes in another order"):
        named_anew(own, ClassNames(("class 0", "crane", *names[1:], "emu")), 42)
