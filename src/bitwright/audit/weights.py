"""What became of a layer's weights: the codes in an artifact beside the float weights that they stand for."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.algorithms.correction import corrections
from bitwright.audit.matching import groups_of, real_weight
from bitwright.audit.records import WeightAudit
from bitwright.audit.signals import db_of
from bitwright.audit.weight_steps import Floats, gain_and_shift, stored_steps, weight_steps
from bitwright.graph import Node, Value
from bitwright.ops.conv2d import image_scale, per_input
from bitwright.ops.epilogue import out_unit
from bitwright.prepared.layer import Layer
from bitwright.recipe import Recipe
from bitwright.schemes import SCHEMES

EXPLAINED = 1.6
"""How far from its float weight a correction that rounds may put a code, in codes: the nearest one, or a neighbour."""
EXPLAINED_IN_TURN = 6.5
"""How far a code may be where it makes up for the errors of those before it, as in `gptq`, or scales are fine-tuned."""
ROW_FITS, LAYER_FITS = (1.1, 1.9), (1.1, 0.6)
"""A stored step may be a + b / (greatest code) times what its codes ask for, or as much smaller: one row's, and the median
of all; few bits tell it badly. In sound models of 2 to 8 bits b was at most 1.5, and 0.4, with a = 1."""
LOOSE = 1.5
"""Times that where codes make up for the errors of others, or scales are trained."""
FEW, QUARTER = 7, 2**0.25 - 1
"""Of weights with no greater code it cannot be told to a quarter of an octave by what a channel was scaled."""
IN_TURN = {"gptq", "reconstruct", "finetune_scales", "bn_restat"}


@dataclass(frozen=True)
class Weights:
    """A layer's weights as the float layer has them and as the codes stand for them, [O, ...]; and the shift that is added.

    `explained` is how many codes a correction of the recipe may be off, `loose` by what factor steps may differ besides.
    """

    node: Node
    real: Floats
    step: Floats
    stored: Floats
    shift: Floats
    float_shift: Floats
    explained: float
    loose: float = 1.0

    @property
    def codes(self) -> npt.NDArray[np.int8]:
        found: npt.NDArray[np.int8] = self.node.tensors["weight"]
        return found

    def column(self, of_rows: Floats) -> Floats:
        """Numbers of channels and groups [O * groups], to be broadcast against the weight."""
        codes, groups = self.codes, groups_of(self.node)
        if groups == 1:
            return of_rows.reshape((-1,) + (1,) * (codes.ndim - 1))
        return np.repeat(of_rows.reshape(len(codes), groups), codes.shape[1] // groups, axis=1)

    @property
    def stands_for(self) -> Floats:
        """What the codes mean by the artifact's multipliers, in the units of `real`."""
        found: Floats = self.codes * self.column(self.stored)
        return found

    @cached_property
    def misfits(self) -> npt.NDArray[np.bool_]:
        """The rows [O * groups] whose stored step is not what their codes ask for, neither by most weights nor by all.

        step = sum w * code / sum code**2        least squares; besides the median that `step` has
        """
        rows = self.codes.reshape(len(self.step), -1).astype(np.float64)
        real, squares = self.real.reshape(rows.shape), (rows * rows).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            asked = [self.stored / self.step, self.stored * squares / (rows * real).sum(axis=1)]
        said = (self.step > 0) & np.isfinite(np.stack(asked)).all(axis=0)
        if not said.any():
            return np.zeros(len(said), bool)
        greatest = SCHEMES[self.node.attrs["weights"]].hi
        row, layer = (self.loose * (a + b / greatest) for a, b in (ROW_FITS, LAYER_FITS))
        if all(_beyond(np.median(ratio[said]), layer) for ratio in asked):
            row = layer  # of all rows together the noise is small
        far = np.stack([_beyond(ratio, row) for ratio in asked])
        found: npt.NDArray[np.bool_] = said & far.all(axis=0)
        return found

    @property
    def trusted(self) -> Floats:
        """The step of each row: the stored one, or what its codes ask for where the two differ; all 0 ask for nothing."""
        found: Floats = np.where(self.misfits, self.step, np.abs(self.stored))
        return found

    @property
    def dead(self) -> npt.NDArray[np.bool_]:
        """The channels [O] that nothing reaches, by their multipliers or codes, where the float weights do."""
        rows = [np.abs(w.reshape(len(w), -1)).max(axis=1, initial=0.0) for w in (self.stands_for, self.real)]
        found: npt.NDArray[np.bool_] = (rows[0] == 0) & (rows[1] > 0)
        return found

    @property
    def damaged(self) -> npt.NDArray[np.bool_]:
        """The rows [O * groups] with codes that are further off than any correction explains."""
        furthest: Floats = self._off()[1].reshape(len(self.step), -1).max(axis=1)
        found: npt.NDArray[np.bool_] = furthest > self.explained
        return found

    def _off(self) -> tuple[Floats, Floats]:
        """The weights in steps, and how far their codes are from these."""
        scheme = SCHEMES[self.node.attrs["weights"]]
        ideal = self.real / self.column(np.where(self.trusted > 0, self.trusted, np.inf))
        return ideal, np.abs(self.codes - np.clip(ideal, scheme.lo, scheme.hi))

    def audit(self) -> WeightAudit:
        """These weights as a record."""
        scheme = SCHEMES[self.node.attrs["weights"]]
        ideal, off = self._off()
        moved = (self.codes != scheme.nearest(ideal)) & (off > 0.5 * scheme.step + 1e-3)
        counts = np.bincount(self.codes.reshape(-1).astype(int) - scheme.lo, minlength=scheme.hi - scheme.lo + 1)
        reach = np.array([scheme.lo, scheme.hi])[:, None] * np.abs(self.stored).max(initial=0.0)
        return WeightAudit(
            scheme=scheme.name,
            bytes=scheme.packed_bytes(self.codes.size),
            float_range=(float(self.real.min()), float(self.real.max())),
            code_range=(float(reach.min()), float(reach.max())),
            db=db_of(self.real, self.stands_for),
            used=100 * float((counts > 0).mean()),
            at_ends=100 * float(np.isin(self.codes, (scheme.lo, scheme.hi)).mean()),
            off_nearest=100 * float(moved.mean()),
            beyond=int((off > self.explained).sum()),
            histogram=tuple(counts.tolist()),
        )


def _beyond(ratio: Any, most: float) -> Any:
    return (ratio > most) | (ratio < 1 / most)


def weights_of(layer: Layer, node: Node, x: Value, y: Value, recipe: Recipe) -> Weights:
    """The weights of a layer and its integer node, which reads `x` and writes `y`, of a model by a recipe."""
    real, codes = real_weight(layer, node, x), node.tensors["weight"]
    stored = stored_steps(layer, node, x, y)
    gain, shift = gain_and_shift(layer, len(codes))
    zero = 0.0 if y.type is None else y.type.one_shift
    found = (node.tensors["b"].astype(np.float64) - zero) * out_unit(y)
    if x.type is not None and x.type.per_channel:
        pixel = per_input(np.asarray(x.type.offset) / np.asarray(x.type.scale), len(codes), node.attrs["groups"])
        found = found - gain * stored * (codes * pixel).sum(axis=(1, 2, 3))
    in_turn = bool(IN_TURN & set(recipe.algorithms))
    explained = EXPLAINED_IN_TURN if in_turn else EXPLAINED
    greatest = SCHEMES[node.attrs["weights"]].hi
    if greatest <= FEW and any(correction.before_ranges for correction in corrections(recipe.algorithms)):
        explained += QUARTER * greatest
    loose = LOOSE if in_turn or recipe.training is not None else 1.0
    step = weight_steps(codes, real, groups_of(node))
    return Weights(node, real, step, stored, found, shift, explained, loose)


def as_float(weights: Weights, layer: Layer, x: Value, steps: Floats | None = None) -> dict[str, Any]:
    """The weight that the float layer would have were it what the codes stand for, by the stored steps or others, float32."""
    weight = weights.stands_for if steps is None else weights.codes * weights.column(steps)
    if x.type is not None and x.type.per_channel:
        weight = weight / image_scale(x.type, len(weight), weights.node.attrs["groups"])
    return {"weight": weight.astype(np.float32)}
