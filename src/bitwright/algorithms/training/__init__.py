"""The table of training algorithms: how rounding is trained. A newcomer is one file and one line here."""

from bitwright.algorithms.training.dorefa import Dorefa
from bitwright.algorithms.training.irnet import IrNet
from bitwright.algorithms.training.lsq import Lsq
from bitwright.algorithms.training.lsq_plus import LsqPlus
from bitwright.algorithms.training.pact import Pact
from bitwright.algorithms.training.react import React
from bitwright.algorithms.training.recu import ReCu
from bitwright.algorithms.training.ste import Ste
from bitwright.algorithms.training.xnor import Xnor
from bitwright.errors import RecipeError, did_you_mean
from bitwright.prepared.estimator import Estimator
from bitwright.registry import Registry, instance_of


def _check(name: str, thing: object) -> Estimator:
    return instance_of(Estimator, name, thing, "training")  # type: ignore[type-abstract]


TRAINING: Registry[Estimator] = Registry(
    "training",
    {
        algorithm.name: algorithm
        for algorithm in (Ste(), Lsq(), LsqPlus(), Pact(), Dorefa(), Xnor(), IrNet(), React(), ReCu())
    },
    _check,
)


def training_algorithm(name: str) -> Estimator:
    """Return the training algorithm called `name`; RecipeError if there is none."""
    if name not in TRAINING:
        raise RecipeError(
            f"unknown training algorithm {name!r}; known: {', '.join(TRAINING)}{did_you_mean(name, TRAINING)}"
        )
    return TRAINING[name]


__all__ = ["TRAINING", "Estimator", "training_algorithm"]
