"""`bitwright audit`: of a healthy artifact, and of one with a fault that is planted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import bitwright as bw
from bitwright.audit.records import Audit
from bitwright.cli import main
from bitwright.cli.audit_tables import print_audit
from tests.audit.sample import AUDIT as AUDIT_RECORD
from tests.audit.sample import REMEDY
from tests.cli.conftest import Run
from tests.cli.test_quantize import RANDOM_WEIGHTS

AUDIT = ("--model", "colours:net", "--data", "images", "--no-timing")


@pytest.fixture
def broken(project: Path) -> str:
    """An artifact whose first layer has its channels in another order."""
    artifact = bw.load("m.bw.safetensors")
    nodes = []
    for node in artifact.graph.nodes:
        if node.op == "conv2d":
            node = replace(node, tensors={**node.tensors, "weight": node.tensors["weight"][::-1].copy()})
        nodes.append(node)
    replace(artifact, graph=replace(artifact.graph, nodes=tuple(nodes))).save("broken.bw.safetensors")
    return "broken.bw.safetensors"


def test_nothing_is_wrong_with_an_artifact_as_it_was_made(run: Run):
    result = run("audit", "m.bw.safetensors", *AUDIT)
    assert result.code == 0
    assert result.out.splitlines()[3].split() == ["top-1", "100.00", "%,", "float", "100.00", "%"]
    assert "nothing is wrong" in result.out
    rows = [line.split() for line in result.out.splitlines()]
    assert [row[1:4] for row in rows if row[:2] == ["0", "conv2d"]] == [["conv2d", "int8", "uint8"]]
    assert RANDOM_WEIGHTS in result.err


def test_a_damaged_layer_is_named_and_the_remedy_is_tried(run: Run, broken: str):
    result = run("audit", broken, *AUDIT, "-o", "audit.json", "--apply", "audited.toml")
    assert result.code == 0
    line = next(line for line in result.out.splitlines() if line.startswith("1."))
    assert "fault: the first layer, 0: 4 of 9 weights are not what rounding the float model's gives" in line
    assert "remedy: quantize the float model again, by the recipe of the artifact: wins back 100 %" in result.out
    assert "quantize the float model with --recipe audited.toml" in result.err
    found = Audit.read("audit.json")
    assert [(f.kind, f.layer) for f in found.findings if f.is_fault] == [("weights", "0")]
    assert found.digest == bw.load(broken).digest
    assert found.recipe == bw.Recipe.parse("audited.toml").to_json()
    again = ("quantize", "colours:net", "--data", "images", "--recipe", "audited.toml", "-o", "again.bw.safetensors")
    assert main([*again]) == 0
    assert bw.load("again.bw.safetensors").graph["0"].tensors["weight"][0].tolist() == [[[127]], [[0]], [[0]]]


def test_json_is_the_record_and_nothing_else(run: Run, broken: str):
    result = run("audit", broken, *AUDIT, "--parts", "layers", "--json")
    found = Audit.from_json(json.loads(result.out))
    assert [layer.name for layer in found.layers] == [node.name for node in bw.load(broken).graph.nodes]
    assert (found.remedies, found.recipe, found.before.microseconds) == ((), None, None)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--parts", "layers", "--apply", "r.toml"), 2, "--apply needs the part 'remedies'"),
        (("--apply", "r.txt"), 2, "a file name that ends in .toml"),
        (
            ("--parts", "layers,flavour"),
            2,
            "among layers, remedies, decisions, robustness, screen, bit_flips; found 'flavour'",
        ),
        (("--parts", "layer"), 2, "found 'layer'; did you mean 'layers'?"),
        (("--encoder", "dither"), 2, "leave --encoder out"),
        (("-o", "nowhere/audit.json"), 2, "cannot write nowhere/audit.json: there is no folder"),
        (("--calibration", "mixed/none.csv"), 2, "mixed/none.csv"),
    ],
)
def test_what_is_refused(run: Run, options: tuple[str, ...], code: int, said: str):
    result = run("audit", "m.bw.safetensors", *AUDIT, *options)
    assert (result.code, result.out) == (code, "")
    assert said in result.err


def test_the_answers_are_compared(run: Run, broken: str):
    result = run("audit", broken, *AUDIT, "--parts", "decisions")
    assert result.code == 0
    lines = [line.split() for line in result.out.splitlines()]
    assert "answers changed    4 lost, 0 gained, 0 moved from one class to another, of 6" in result.out
    assert ["blue", "2", "2", "0", "2", "0", "100.00", "100.00", "(15.81", "to", "100.00)", "0.5"] in lines
    flip = next(line for line in lines if line and line[0].startswith("images/red/"))
    assert (flip[1], flip[2], flip[4], flip[-1]) == ("red", "red", "blue", "lost")


def test_pictures_are_corrupted_and_attacked_and_nothing_is_claimed_of_one_gradient_alone(run: Run):
    result = run("audit", "m.bw.safetensors", *AUDIT, "--parts", "robustness", "--json")
    found = Audit.from_json(json.loads(result.out)).robustness
    assert found is not None
    assert [(c.corruption, c.strength) for c in found.corruptions[:4]] == [
        ("noise", 1),
        ("noise", 2),
        ("noise", 3),
        ("blur", 1),
    ]
    assert len(found.corruptions) == 12
    assert all(
        c.float_top1 == c.integer_top1 == c.agreement == 100 for c in found.corruptions if c.corruption != "brightness"
    )
    routes = [(a.attack, a.through) for a in found.attacks if a.epsilon == 2]
    assert routes == [
        ("fgsm", "float"),
        ("pgd", "float"),
        ("fgsm", "prepared"),
        ("pgd", "prepared"),
        ("worst", "all of them"),
    ]
    assert "neither alone proves anything" in (found.remark or "")
    printed = run("audit", "m.bw.safetensors", *AUDIT, "--parts", "robustness").out
    assert ["jpeg", "quality", "25", "3", "100.00", "100.00", "100.00", "1"] in [
        line.split() for line in printed.splitlines()
    ]
    assert ["pgd", "prepared", "4/255", "3", "100.00", "100.00"] in [line.split() for line in printed.splitlines()]


def test_the_screen_sees_weights_that_no_correction_rounds_to(run: Run, broken: str):
    result = run("audit", broken, *AUDIT, "--parts", "screen")
    assert "suspicious: 0 has weights that no correction rounds to" in result.out
    assert "off the nearest      44.4 % of 9 weights of 0" in result.out
    sound = run("audit", "m.bw.safetensors", *AUDIT, "--parts", "screen").out
    assert "only after rounding  nothing that appears only after rounding was found, which proves nothing" in sound


def test_classes_may_be_named_by_a_file_as_for_other_commands(run: Run, project: Path):
    nameless = replace(bw.load("m.bw.safetensors"), classes=None)
    nameless.save("nameless.bw.safetensors")
    (project / "names.txt").write_text("blue\ngreen\nred\n")
    options = (*AUDIT[:2], "--data", "images", "--no-timing", "--parts", "decisions", "--json")
    result = run("audit", "nameless.bw.safetensors", *options, "--classes", "names.txt")
    found = Audit.from_json(json.loads(result.out))
    assert found.decisions is not None
    assert [each.name for each in found.decisions.classes] == ["blue", "green", "red"]
    assert found.digest == nameless.digest
    (project / "names.txt").write_text("blue\ngreen\n")
    refused = run("audit", "nameless.bw.safetensors", *options, "--classes", "names.txt")
    assert (refused.code, refused.out) == (2, "")
    assert "names.txt" in refused.err


def test_only_what_helps_is_offered(capsys: pytest.CaptureFixture[str]):
    harm = replace(REMEDY, text="ranges by minmax", gain_points=-0.28)
    (finding, *_) = AUDIT_RECORD.findings
    for remedies, expected in (
        ((harm, REMEDY), f"remedy: {REMEDY.text}:"),
        ((harm,), "no remedy: of 1 tried, none helps"),
    ):
        print_audit(replace(AUDIT_RECORD, findings=(replace(finding, remedies=remedies),), remedies=remedies))
        told = capsys.readouterr().out
        assert expected in told
        assert harm.text not in told
        assert "(1 more tried, of no help" in told


def test_what_was_not_tried_did_not_fail_to_help(run: Run):
    untried = run("audit", "m.bw.safetensors", *AUDIT, "--seconds", "0", "--apply", "r.toml")
    assert "no change of the recipe was tried: it is the artifact's own" in untried.err
    assert "were not tried, and 0 were, as the 0 seconds were over: quantize the float model again" in untried.err


def test_another_model_is_refused(run: Run, project: Path):
    (project / "others.py").write_text(
        "from colours import *\ndef wide():\n    model = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), "
        "nn.Flatten(), nn.Linear(5, 3))\n    return model\nwide.preprocess = net.preprocess\n"
    )
    result = run("audit", "m.bw.safetensors", "--model", "others:wide", "--data", "images", "--no-timing")
    assert result.code == 2
    assert (
        "error: the artifact was not made of this model: expected a layer '0' of (5, 8, 8), found (3, 8, 8)"
        in result.err
    )


def test_the_bits_that_hurt_most_are_printed(run: Run):
    result = run("audit", "m.bw.safetensors", *AUDIT, "--parts", "bit_flips")
    assert result.code == 0
    lines = result.out.splitlines()
    tried = next(line for line in lines if line.startswith("flips tried"))
    assert "that the gradient chose, of " in tried
    table = lines[next(i for i, line in enumerate(lines) if line.split()[:3] == ["layer", "weight", "byte.bit"]) + 1 :]
    worst = [float(line.split()[-4]) for line in table]
    assert worst == sorted(worst, reverse=True)
    assert worst[0] > 0
