"""Which widths to give the layers: an integer programme, solved exactly by HiGHS through `scipy.optimize.milp`.

    minimise    sum over layers l, pairs (w, a) of cost[l, w, a] * z[l, w, a]  +  epsilon * loss
    subject to  sum over w, a of z[l, w, a] = 1            each layer has one pair of widths: its weights, and what it reads
                sum over w of z[l, w, a] = y[e(l), a]      layers that read the same codes agree on their width
                sum over a of y[e, a] = 1
                loss = sum of loss[l, w] * z[l, w, a] + sum of loss[e, a] * y[e, a]  <=  budget
z and y are 0 or 1. Losses are taken to add up, as in Hubara et al. 2020 (section 3.5) and HAWQ-V3 (Yao et al. 2021); what
comes out is verified afterwards. epsilon is so small that it decides only between choices of the same cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitwright.errors import MissingExtraError

TIE = 1e-4
"""How much of the cheapest difference in cost all of the loss may outweigh, at most."""
SMALLEST = 1e-5
"""The smallest budget of loss that `pareto_front` tries, as a share of the greatest loss there is."""
SECONDS = 20.0


@dataclass(frozen=True)
class Problem:
    """Losses and costs of all choices.

    Fields:
        reads: for each layer with weights, the value that it reads; None for the image.
        weight_loss: (layer, bits) -> loss.
        code_loss: (value, bits) -> loss, for every value.
        cost: (layer, weight bits, bits of what it reads) -> cost, not negative. Of a layer that reads the image, 8.
    """

    reads: Mapping[str, str | None]
    weight_loss: Mapping[tuple[str, int], float]
    code_loss: Mapping[tuple[str, int], float]
    cost: Mapping[tuple[str, int, int], float]

    def predicted(self, choice: "Choice") -> tuple[float, float]:
        """(cost, loss) of a choice."""
        read = {layer: 8 if value is None else choice.codes[value] for layer, value in self.reads.items()}
        cost = sum(self.cost[layer, bits, read[layer]] for layer, bits in choice.weights.items())
        loss = sum(self.weight_loss[key] for key in choice.weights.items())
        return cost, loss + sum(self.code_loss[key] for key in choice.codes.items())


@dataclass(frozen=True)
class Choice:
    """The bits of each layer's weights, and of each value's codes."""

    weights: Mapping[str, int]
    codes: Mapping[str, int]


def expect_solver() -> None:
    """Raise MissingExtraError where there is no HiGHS: before anything is measured, not behind it."""
    try:
        from scipy.optimize import milp  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("scipy", "search") from error


def cheapest(problem: Problem, budget: float) -> Choice | None:
    """The cheapest choice whose losses add up to `budget` at most; None where there is none."""
    expect_solver()
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    pairs, codes = list(problem.cost), list(problem.code_loss)
    column: dict[tuple[object, ...], int] = {key: i for i, key in enumerate([*pairs, *codes])}
    loss = np.array([problem.weight_loss[layer, w] for layer, w, _ in pairs] + [problem.code_loss[c] for c in codes])
    cost = np.array([problem.cost[pair] for pair in pairs] + [0.0] * len(codes))
    rows, sums = _sums(problem, pairs, codes, column)
    at, to, values = zip(*[(i, j, value) for i, row in enumerate(rows) for j, value in row.items()], strict=True)
    unit = budget if budget > 0 else 1.0
    solved = milp(
        _in_steps(cost) + TIE * np.minimum(loss / unit, 1.0),
        integrality=np.ones(len(column)),
        bounds=Bounds(0, (loss <= budget).astype(float)),
        constraints=[
            LinearConstraint(csr_array((values, (at, to)), shape=(len(rows), len(column))), sums, sums),
            LinearConstraint(np.minimum(loss / unit, 2.0)[None], -np.inf, budget / unit),
        ],
        options={"mip_rel_gap": 0.0, "time_limit": SECONDS},
    )
    if solved.x is None:
        return None
    taken = [pair for pair in pairs if solved.x[column[pair]] > 0.5]
    choice = Choice({layer: w for layer, w, _ in taken}, dict(c for c in codes if solved.x[column[c]] > 0.5))
    return choice if _agrees(problem, choice, taken) and problem.predicted(choice)[1] <= budget else None


def pareto_front(problem: Problem, count: int) -> list[Choice]:
    """At most `count` choices, from the least loss to the least cost: the cheapest for budgets in geometric steps.

    None of them costs more than one with less loss.
    """
    of_layer: dict[object, list[float]] = {}
    for table in (problem.weight_loss, problem.code_loss):
        for (name, _), loss in table.items():
            of_layer.setdefault((table is problem.code_loss, name), []).append(loss)
    least, most = (sum(extreme(losses) for losses in of_layer.values()) for extreme in (min, max))
    smallest = max(least, most * SMALLEST) or 1.0
    found: list[Choice] = []
    for budget in [least, *np.geomspace(smallest, max(most, smallest), count - 1)]:
        choice = cheapest(problem, float(budget) * (1 + 1e-9))
        if choice is not None and (not found or problem.predicted(choice)[0] < problem.predicted(found[-1])[0]):
            found.append(choice)
    return found


def _agrees(problem: Problem, choice: Choice, taken: list[tuple[str, int, int]]) -> bool:
    """Whether what the solver gave is a solution: it has called others solved, too (SciPy's issue 24141)."""
    values = {value for value, _ in problem.code_loss}
    reads = {layer: problem.reads[layer] for layer in choice.weights}
    read = all(reads[layer] is None or choice.codes.get(str(reads[layer])) == a for layer, _, a in taken)
    return read and len(taken) == len(choice.weights) == len(problem.reads) and set(choice.codes) == values


def _sums(
    problem: Problem,
    pairs: list[tuple[str, int, int]],
    codes: list[tuple[str, int]],
    column: dict[tuple[object, ...], int],
) -> tuple[list[dict[int, float]], list[float]]:
    """The equations of the programme, as rows of coefficients and what each comes to."""
    rows = [{column[pair]: 1.0 for pair in pairs if pair[0] == layer} for layer in problem.reads]
    rows += [{column[code]: 1.0 for code in codes if code[0] == value} for value in dict(codes)]
    sums = [1.0] * len(rows)
    for layer, value in problem.reads.items():
        for code in [code for code in codes if code[0] == value]:
            row = {column[pair]: 1.0 for pair in pairs if (pair[0], pair[2]) == (layer, code[1])}
            rows.append({**row, column[code]: -1.0})
            sums.append(0.0)
    return rows, sums


def _in_steps(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Costs in units of their smallest difference."""
    different = np.unique(cost)
    result: npt.NDArray[np.float64] = cost / np.diff(different).min() if len(different) > 1 else cost * 0
    return result
