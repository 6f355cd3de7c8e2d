"""Gates: files of bounds, and what is refused in them."""

import pytest

from bitwright.errors import GateError
from bitwright.gates import Gates

EVERYTHING = """\
# of the release
judge = "point"
max_bytes = 300_000
max_drop = { bound = 0.5, judge = "interval" }
min_agreement = 99
max_class_drop = 3.0
max_latency_ratio = 1.05
require_signature = true
"""


def test_every_gate_is_read_with_its_judge_and_its_line():
    gates = Gates.parse(EVERYTHING, "gates.toml")
    assert [(gate.name, gate.bound, gate.judge, gate.line) for gate in gates.gates] == [
        ("max_drop", 0.5, "interval", 4),
        ("min_agreement", 99, "point", 5),
        ("max_class_drop", 3.0, "point", 6),
        ("max_bytes", 300_000, "point", 3),
        ("max_latency_ratio", 1.05, "point", 7),
        ("require_signature", 1, "point", 8),
    ]
    assert gates.needs == {"images", "baseline", "keys"}


def test_gates_are_judged_by_the_interval_unless_the_file_says_otherwise():
    (gate,) = Gates.parse("max_drop = 1").gates
    assert gate.judge == "interval"


def test_a_gate_as_a_table_of_its_own_has_its_line_too():
    (gate,) = Gates.parse('\n[max_drop]\nbound = 1\njudge = "point"\n').gates
    assert (gate.bound, gate.judge, gate.line) == (1, "point", 2)


def test_a_signature_that_is_not_required_is_no_gate():
    gates = Gates.parse("max_bytes = 10\nrequire_signature = false")
    assert [gate.name for gate in gates.gates] == ["max_bytes"]
    assert not gates.needs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_dorp = 1", r"gates, line 1: 'max_dorp' is no gate; did you mean 'max_drop'\?"),
        ("max_bytes = 1\nlatency = 2", "gates, line 2: 'latency' is no gate"),
        ("[accuracy]\nmax_drop = 1", "'accuracy' is no gate"),
        ("max_drop = { bond = 1 }", r"max_drop has no 'bond'; did you mean 'bound'\?"),
        ("max_drop = { judge = 'point' }", "expected max_drop to be a number -100 to 100 .points., found None"),
        ("max_drop = 101", "found 101"),
        ("max_drop = nan", "found nan"),
        ("max_bytes = inf", "found inf"),
        ("max_bytes = 0", "of at least 1 .bytes., found 0"),
        ("min_agreement = true", "found True"),
        ("min_agreement = '99'", "found '99'"),
        ("max_latency_ratio = -1", "found -1"),
        ("require_signature = 1", "expected require_signature to be true or false, found 1"),
        ("judge = 'intervall'", r"judge: expected one of 'interval', 'point', found 'intervall'; did you mean"),
        ("max_drop = { bound = 1, judge = 3 }", "max_drop.judge: expected one of"),
        ("max_drop = ", "expected TOML such as"),
        ("max_drop = 1\nmax_drop = 2", "expected TOML such as"),
        ("max_drop = " + "[" * 100_000, "expected TOML such as"),
        ("max_drop = " + "9" * 5_000, "expected TOML such as"),
        ("", "expected at least one gate of max_drop"),
        ("require_signature = false", "expected at least one gate"),
    ],
)
def test_what_means_nothing_is_refused(text: str, said: str):
    with pytest.raises(GateError, match=said):
        Gates.parse(text)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(GateError, match=r"cannot read the gates of .*none.toml: No such file"):
        Gates.load(tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "gates.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GateError, match="cannot read the gates"):
        Gates.load(tmp_path / "gates.toml")
