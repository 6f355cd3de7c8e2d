"""Which files of tests are run against a mutant of a file: those of its part."""

from pathlib import Path

from scripts.mutants.mutant import ROOT, SOURCE

CONFORMANCE = "tests/conformance"
OPS = tuple(f"{CONFORMANCE}/test_ops{rest}.py" for rest in ("_refuse", "", "_torch", "_float", "_overflow", "_native"))
PARTS = {
    "algorithms/correction": ("tests/algorithms/correction", f"{CONFORMANCE}/test_corrections.py"),
    "algorithms/ranges": ("tests/algorithms/ranges", f"{CONFORMANCE}/test_ranges.py"),
    "algorithms/training": (
        "tests/algorithms/training",
        *(f"{CONFORMANCE}/test_training{rest}.py" for rest in ("_gradients", "", "_gains")),
        *("tests/prepared/test_react.py", "tests/prepared/test_few_bits.py", "tests/training"),
    ),
    "artifact": ("tests/artifact", "tests/test_artifact_bytes.py"),
    "chance.py": ("tests/test_evaluation.py", "tests/training"),
    "cli/label_options.py": ("tests/cli/test_labels.py", "tests/cli"),
    "class_files.py": ("tests/test_classes.py", "tests/cli/test_labels.py"),
    "graph_check.py": ("tests/artifact", *OPS),
    "ops": (*OPS, "tests/ops", "tests/capture"),
    "plugins.py": ("tests/plugins",),
    "prepared/quantizers.py": (
        *("tests/prepared/test_few_bits.py", f"{CONFORMANCE}/test_training_gradients.py"),
        *(f"{CONFORMANCE}/test_training.py", f"{CONFORMANCE}/test_corrections.py", "tests/prepared"),
    ),
    "prepared/ops": (f"{CONFORMANCE}/test_ops_torch.py", *OPS, "tests/prepared"),
    "prepared": ("tests/prepared", *OPS, f"{CONFORMANCE}/test_corrections.py"),
    "progress.py": ("tests/cli", "tests/training"),
    "records.py": ("tests/test_evaluation.py", "tests/cli"),
    "recipe": ("tests/test_recipe.py", "tests/test_quantization_recipes.py", "tests/budget/test_variants.py"),
    "registry.py": ("tests/plugins",),
    "schemes": (f"{CONFORMANCE}/test_schemes.py", "tests/test_qtensor.py"),
    "images/sources/kinds.py": ("tests/images/sources", "tests/plugins"),
    "images/encoders": (f"{CONFORMANCE}/test_encoders.py",),
    "zoo": ("tests/prepared/test_equality.py", "tests/models"),
    "graph.py": ("tests/artifact", f"{CONFORMANCE}/test_ops.py"),
    "walk.py": ("tests/test_walk.py", "tests/models/test_graph_model.py"),
    "calibration.py": (
        "tests/test_quantization.py",
        "tests/test_quantization_recipes.py",
        "tests/conformance/test_corrections.py",
    ),
    "quantization.py": (
        "tests/test_quantization.py",
        "tests/test_quantization_recipes.py",
        "tests/conformance/test_corrections.py",
    ),
}
"""The tests of a part, by how its path begins. Else they are where its source is: of a/b.py, tests/a/test_b.py and tests/a."""

EVERYWHERE = "tests/test_habits.py"
"""What holds for all sources is tested at once: last, for each of them."""

LONG = ("tests/prepared/test_equality.py", "tests/capture/test_torch_models.py")


def tests_of(path: Path) -> list[str]:
    """The files that are run against a mutant of this one, the nearest first: of its name, then those that import it.

    Files and no folders: pytest runs a file that is named beside its folder in its place in the folder."""
    inside = path.relative_to(SOURCE)
    folder = ROOT / "tests" / inside.parent
    while not folder.exists():
        folder = folder.parent
    part = next((tests for start, tests in PARTS.items() if str(inside).startswith(start)), None)
    rest = [ROOT / test for test in part] if part else [folder] if folder.name != "tests" else []
    near = ROOT / "tests" / inside.parent / f"test_{inside.stem}.py"
    files = [
        file for place in [near, *rest] for file in ([place] if place.suffix else sorted(place.rglob("test_*.py")))
    ]
    found = [str(file.relative_to(ROOT)) for file in dict.fromkeys(files) if file.exists()]
    module = ".".join(("bitwright", *inside.with_suffix("").parts)).removesuffix(".__init__")

    def far(test: str) -> tuple[bool, bool, bool]:
        return test in LONG, ROOT / test != near, f"{module} import" not in (ROOT / test).read_text()

    return [*(sorted(found, key=far) or ["tests/test_package.py"]), EVERYWHERE]
