"""Records: frozen, plain, and the only thing that the command line prints as JSON."""

import ast
import inspect
import json
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path

import pytest

from bitwright import cli, records
from bitwright.records import Measured, PlanSummary, StepSummary

RECORDS = [c for _, c in inspect.getmembers(records, is_dataclass) if c.__module__ == records.__name__]
COMMANDS = sorted(Path(cli.__file__).parent.glob("*.py"))
MEASURED = Measured("photos", 3, 1, 50.0, None, 75.0, 60.0, None, False, "name")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_records_are_frozen(record: type) -> None:
    made = record(*[None] * len(fields(record)))
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(record)[0].name, 1)


def test_a_reference_is_told_where_it_is_another_model() -> None:
    told = json.loads(json.dumps(MEASURED.to_json()))
    assert "reference" not in told
    assert told["top5"] is None, "what could not be measured is said to be so"
    other = Measured(**told, reference="teacher")
    assert other.to_json() == {**told, "reference": "teacher"}


def test_the_sum_of_a_plan_weighs_peaks_by_time() -> None:
    first = StepSummary("a", "conv2d", "igemm", "amx", 30.0, 75.0, 100, 10, 80.0)
    second = StepSummary("b", "copy", "copy", "scalar", 10.0, 25.0, 0, 5, 0.0)
    assert PlanSummary((first, second)).total == StepSummary("total", "", "", "", 40.0, 100.0, 100, 15, 60.0)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_commands_print_records_and_build_none(path: Path) -> None:
    """What a command adds to a record is what it was given."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id == "print_json":
            found = [node.attr for node in ast.walk(call.args[0]) if isinstance(node, ast.Attribute)]
            assert "to_json" in found, f"{path.name}:{call.lineno} prints {ast.unparse(call)}, which is no record"
