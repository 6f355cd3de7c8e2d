"""`prepare_qat`: a float model as a module that trains quantized, in a loop of the user's."""

from dataclasses import replace
from os import PathLike

from bitwright.algorithms.correction.stream import Images
from bitwright.algorithms.training import TRAINING, training_algorithm
from bitwright.images.preprocess import Preprocess
from bitwright.models.float_models import FloatModelLike
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.prepared.quantizers import Edge
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe


def prepare_qat(
    model: FloatModelLike,
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w4a4",
    training: str | None = None,
    images: Images | None = None,
) -> PreparedModel:
    """A module with the signature of `model` (normalised float32 [N, C, H, W] -> logits), ready to be trained.

    In train mode it computes differentiable fake quantization, by the recipe's training algorithm or `training` (default:
    lsq); in eval mode, the integers. `convert` makes the artifact. Scales start where calibration on `images` puts them;
    without images, call `calibrate` before the first step. Corrections of the recipe are left out: training does their part.

    Raises what `prepare` raises, and RecipeError where the algorithm is unknown.
    """
    plan = Recipe.parse(recipe)
    plan = replace(plan, algorithms=(), training=training or plan.training or "lsq")
    algorithm = training_algorithm(plan.training or "lsq")
    prepared = prepare(model, preprocess=preprocess, recipe=plan)
    if (origin := TRAINING.origin(algorithm.name)) is not None:
        prepared.foreign.add(origin)
    for edge in prepared.edges.values():
        assert isinstance(edge, Edge)
        edge.estimator = algorithm
        algorithm.learn_activation(edge)
    for layer in prepared.layers.values():
        assert isinstance(layer, Layer)
        if layer.quantizer is not None:
            layer.quantizer.estimator = algorithm
            algorithm.learn_weight(layer.quantizer)
    if images is not None:
        calibrate(prepared, images)
    return prepared
