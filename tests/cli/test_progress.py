"""Progress where no terminal shows it: lines on stderr, and none of what is over soon."""

import pytest

from bitwright.cli.output import shown


def test_a_long_work_says_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys):
    clock = iter([0.0, 1.0, 29.0, 31.0, 31.0, 40.0, 50.0, 81.0, 81.0])
    monkeypatch.setattr("bitwright.cli.output.monotonic", lambda: next(clock))
    with shown() as progress:
        progress.at("calibrating", 1, 100)
        progress.at("calibrating", 29, 100)
        progress.at("calibrating", 31, 100)
        progress.say("a sentence")
        progress.at("adaround", 0.5, 1.0)
        progress.at("adaround", 0.7, 1.0)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "bitwright: calibrating: 31 %",
        "bitwright: a sentence",
        "bitwright: adaround: 70 %",
    ]


def test_details_come_at_each_twentieth(capsys):
    with shown() as progress:
        for i in range(41):
            progress.at("training", i, 40, f"loss {40 - i}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[1] == "bitwright: training: 5 %, loss 38"
