"""The integer programme against brute force on small problems."""

import itertools

import numpy as np
import pytest

from bitwright.budget.programme import Choice, Problem, cheapest, pareto_front

pytest.importorskip("scipy")
BITS = (8, 4, 2)


def every_choice(problem: Problem) -> list[Choice]:
    layers, groups = list(problem.reads), list(dict.fromkeys(group for group, _ in problem.code_loss))
    return [
        Choice(dict(zip(layers, bits[: len(layers)], strict=True)), dict(zip(groups, bits[len(layers) :], strict=True)))
        for bits in itertools.product(BITS, repeat=len(layers) + len(groups))
    ]


def random_problem(seed: int, *, codes: bool) -> Problem:
    rng = np.random.default_rng(seed)
    reads = {"first": None, "second": "a" if codes else None, "third": "a" if codes else None}
    reads["fourth"] = "b" if codes else None
    weight_loss = {(layer, b): float(rng.exponential(2.0**-b)) for layer in reads for b in BITS}
    code_loss = {(group, b): float(rng.exponential(2.0**-b)) for group in "ab" for b in BITS} if codes else {}
    widths = {layer: BITS if group else (8,) for layer, group in reads.items()}
    cost = {(layer, w, a): float(rng.integers(1, 50)) for layer in reads for w in BITS for a in widths[layer]}
    return Problem(reads, weight_loss, code_loss, cost)


@pytest.mark.parametrize("codes", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_nothing_within_the_budget_is_cheaper(seed: int, codes: bool):
    problem = random_problem(seed, codes=codes)
    known = [problem.predicted(choice) for choice in every_choice(problem)]
    for budget in np.quantile([loss for _, loss in known], [0.0, 0.05, 0.3, 0.7, 1.0]):
        found = cheapest(problem, float(budget) * (1 + 1e-9))
        assert found is not None
        cost, loss = problem.predicted(found)
        assert loss <= budget * (1 + 1e-8)
        assert cost == pytest.approx(min(cost for cost, loss in known if loss <= budget * (1 + 1e-9)))


def test_of_equal_costs_the_least_loss_is_taken():
    cost = {("layer", bits, 8): 1.0 for bits in BITS}
    problem = Problem({"layer": None}, {("layer", 8): 0.0, ("layer", 4): 0.1, ("layer", 2): 0.2}, {}, cost)
    assert cheapest(problem, 1.0) == Choice({"layer": 8}, {})


def test_a_budget_that_cannot_be_kept_has_no_choice():
    problem = random_problem(0, codes=True)
    least = min(problem.predicted(choice)[1] for choice in every_choice(problem))
    assert cheapest(problem, 0.9 * least) is None


@pytest.mark.parametrize("seed", range(3))
def test_the_front_falls_from_the_least_loss_to_the_least_cost(seed: int):
    problem = random_problem(seed, codes=False)
    known = [problem.predicted(choice) for choice in every_choice(problem)]
    points = [problem.predicted(choice) for choice in pareto_front(problem, 40)]
    assert points == sorted(points, key=lambda point: -point[0])
    assert points[0][1] == pytest.approx(min(loss for _, loss in known))
    assert points[-1][0] == min(cost for cost, _ in known)
    for cost, loss in points:
        assert not [other for other in known if other[0] < cost and other[1] < loss * (1 - 1e-9)]
