"""`prepare_qat`: a float model as a module that trains quantized, in a loop of the user's."""

from dataclasses import replace
from os import PathLike

from bitwright.algorithms.correction.stream import Images
from bitwright.algorithms.training import TRAINING, training_algorithm
from bitwright.gradients import own_gradients
from bitwright.images.preprocess import Preprocess
from bitwright.models.float_models import FloatModelLike
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.prepared.quantizers import ActivationQuantizer
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe


@own_gradients
def prepare_qat(
    model: FloatModelLike,
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w4a4",
    training: str | None = None,
    images: Images | None = None,
) -> PreparedModel:
    """Make a module with the signature of `model` that trains quantized, in a loop of your own.

    In train mode it computes differentiable fake quantization; in eval mode, the integers. `convert` makes the
    artifact. Corrections of the recipe are left out: training does their part.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes].
        preprocess: how a picture becomes the model's input.
        recipe: a short form such as "w4a4", a TOML file, or a `Recipe`.
        training: the training algorithm, in place of the recipe's; lsq where neither says.
        images: uint8 [N, H, W, C], batches or a source; scales start where calibration on them puts them. None: call
            `calibrate` before the first training step.

    Raises:
        RecipeError: the algorithm is unknown, a pattern matches no layer, or a name is unknown.
        ModelError, CaptureError: see `prepare`.
        CalibrationError: see `calibrate`.
    """
    plan = Recipe.parse(recipe)
    plan = replace(plan, algorithms=(), training=training or plan.training or "lsq")
    algorithm = training_algorithm(plan.training or "lsq")
    prepared = prepare(model, preprocess=preprocess, recipe=plan)
    if (origin := TRAINING.origin(algorithm.name)) is not None:
        prepared.foreign.add(origin)
    for quantizer in prepared.quantizers.values():
        assert isinstance(quantizer, ActivationQuantizer)
        quantizer.estimator = algorithm
        algorithm.learn_activation(quantizer)
    for layer in prepared.layers.values():
        assert isinstance(layer, Layer)
        if layer.quantizer is not None:
            layer.quantizer.estimator = algorithm
            algorithm.learn_weight(layer.quantizer)
    if images is not None:
        calibrate(prepared, images)
    return prepared
