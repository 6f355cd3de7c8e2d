"""ONNX's own tests of single nodes: whatever of them is not refused is computed as ONNX says."""

from collections import Counter

from bench.onnx_nodes import RIGHT, TYPES, by_table, cases

REFUSED = {
    "Attention": "an attention with a mask or heads of another kind",
    "AveragePool": "3 axes, dilations",
    "BatchNormalization": "training",
    "Col2Im": "3 axes",
    "ConvTranspose": "1 and 3 axes",
    "Flatten": "axis 0",
    "Gather": "positions of two axes",
    "Gemm": "the images transposed, a matrix as bias",
    "LpPool": "1 and 3 axes, dilations",
    "MaxPool": "3 axes, storage_order",
    "PRelu": "a slope for each number",
    "Pow": "an exponent for each number",
    "MeanVarianceNormalization": "over the batch",
    **{
        f"Reduce{name}": "over the batch"
        for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum")
    },
    "ReduceSumSquare": "over the batch",
    "Resize": "a part of the image, what keeps its aspect ratio",
    "ScatterElements": "positions that differ, reductions",
    "ScatterND": "positions of several axes, reductions",
    "Slice": "backwards",
    "SplitToSequence": "without the axis",
    "Tile": "over the batch",
}
"""What of the mapped ops is out of scope; `python -m bench.onnx_nodes --reasons` lists each case."""


def test_what_is_not_refused_is_right() -> None:
    """`python -m bench.onnx_nodes` also opens and captures a file of each."""
    found: Counter[str] = Counter()
    for case in cases():
        outcome, why = by_table(case)
        found[outcome] += 1
        op = case.model.graph.node[0].op_type
        assert outcome in (RIGHT, TYPES) or (op in REFUSED and why), f"{case.name}: {outcome} {why}"
    assert found[RIGHT] > 0.4 * found.total()  # newer versions of onnx have more cases
